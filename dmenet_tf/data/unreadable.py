"""Photos that cannot be read: a few are skipped, counted and listed; more than a few are refused.

In place of a skipped photo the next one of its collection is read, so that all others keep their
numbers: which photo an example is cut from still depends on its number and on the files alone,
whenever the broken ones are found, and a resumed run sees what an unbroken one does.
"""

import math
import re
import threading
from collections.abc import Callable, Sequence

from data_gen.io.errors import DataFileError
from data_gen.io.headers import looks_readable
from data_gen.io.parallel import ordered
from data_gen.sources.base import Source, Wrapper, paths


class Tolerant(Wrapper):
    """A source in place of whose unreadable items the next readable ones are read.

    Args:
        max_bad: largest share of the items that may be unreadable, in [0, 1]; rounded up to a
            number, so that above 0 a single broken photo of a small collection is skipped too.
    Raises (in `read`):
        DataFileError: more items are unreadable; names the last one found and what is wrong.
    """

    def __init__(self, source: Source, max_bad: float):
        self.source, self.limit = source, math.ceil(max_bad * len(source))
        self._bad: dict[int, str] = {}
        self._lock = threading.Lock()

    def read(self, i):
        for place in range(len(self)):
            item = (i + place) % len(self)
            if item in self._bad:
                continue
            try:
                return self.source.read(item)
            except DataFileError as error:
                self.skip(item, error)
        raise DataFileError(f"{self.name(i)}: one item of its collection must be readable; none is")

    def skip(self, i: int, error: DataFileError) -> None:
        """Notes that item `i` is unreadable; `DataFileError` if that is one too many."""
        with self._lock:
            if i in self._bad or len(self._bad) < self.limit:
                self._bad[i] = _one_line(error)
                return
        if not self.limit:
            raise error
        raise DataFileError(
            f"at most {self.limit} of {len(self)} photos of a collection may be unreadable "
            f"(--max-bad); received one more: {error}"
        ) from error

    @property
    def skipped(self) -> list[str]:
        """What is wrong with each item that was found to be unreadable, naming its file."""
        with self._lock:
            return list(self._bad.values())


def check_headers(sources: Sequence[Source], progress: Callable = lambda numbers, **_: numbers):
    """Checks the headers of all files of the sources, by a thread per core.

    What does not look like an image is read. If that fails too, a `Tolerant` source skips it.

    Args:
        progress: wraps the iterable of items, as tqdm does.
    Raises:
        DataFileError: naming the file: an unreadable item of another source, or too many of a
            `Tolerant` one.
    """
    items = [(source, i) for source in sources for i in range(len(source)) if paths(source, i)]
    problems = ordered(lambda place: _problem(*items[place]), len(items))
    for (source, i), problem in zip(items, progress(problems, total=len(items)), strict=True):
        if problem and not isinstance(source, Tolerant):
            raise problem
        if problem:
            source.skip(i, problem)


def check_whole(source: Source, progress: Callable = lambda numbers, **_: numbers):
    """Reads all items that are files, by a thread per core; raises the first `DataFileError`."""
    items = [i for i in range(len(source)) if paths(source, i)]
    read = ordered(lambda place: bool(source.read(items[place])), len(items))
    for _ in progress(read, total=len(items)):
        pass


def _one_line(error: Exception) -> str:
    # Where an object lies in memory differs from start to start.
    return re.sub(r" at 0x[0-9a-f]+", "", str(error)).replace("\n", " ")


def _problem(source: Source, i: int) -> DataFileError | None:
    if all(map(looks_readable, paths(source, i))):
        return None
    try:
        (source.source if isinstance(source, Tolerant) else source).read(i)
    except DataFileError as error:
        return error
    return None

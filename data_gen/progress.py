"""Progress on standard error: a bar on a terminal, in a log file a line for every tenth."""

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from data_gen import interrupts

_TENTHS = 10


def progress(
    items: Iterable | None = None, desc: str = "", unit: str = "", least: int = 1, **options
):
    """What `tqdm` gives on a terminal; elsewhere `Lines`, as carriage returns have no place there.

    items: what is iterated over, or None for `update`; least: a log has no line about fewer items;
    options: tqdm's, of which a log needs `total` and `initial`.
    """
    if sys.stderr.isatty():
        return Bar(items, desc=desc or None, unit=unit or "it", **options)
    return Lines(items, desc, unit, options.get("total"), options.get("initial", 0), least)


class Bar(tqdm):
    """tqdm's; between two items, an interrupt that was lost is raised."""

    def __iter__(self) -> Iterator:
        for item in super().__iter__():
            yield item
            interrupts.check()

    def update(self, n: float = 1) -> bool | None:
        interrupts.check()
        return super().update(n)


class Lines:
    """Iterates, or counts by `update`; a line whenever another tenth of the total is done.

    "reading: 40 of 80 images, 50%, 12 s"; without a total, nothing is written.
    """

    def __init__(
        self, items, desc: str, unit: str, total: int | None, initial: int = 0, least: int = 1
    ):
        self._items, self._desc = items, f"{desc}: " if desc else ""
        self._unit = f" {unit}s" if unit else ""
        self._total = len(items) if total is None and hasattr(items, "__len__") else total
        if self._total is not None and self._total < least:
            self._total = None
        self.n, self._started = initial, time.monotonic()
        # What a continued job had done before is not told again.
        self._told = self._tenths()

    def __iter__(self) -> Iterator:
        for item in self._items:
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        interrupts.check()
        self.n += n
        if self._tenths() <= self._told:
            return
        self._told = self._tenths()
        share, seconds = self.n / self._total, time.monotonic() - self._started
        print(
            f"{self._desc}{self.n} of {self._total}{self._unit}, {share:.0%}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """What a bar shows beside its figures; a log does without."""

    def close(self) -> None:
        """There is nothing to clear."""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _tenths(self) -> int:
        return _TENTHS * self.n // self._total if self._total else 0

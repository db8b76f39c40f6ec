"""The protocol of all image sources, and the classes that combine sources.

A `Source` is a numbered collection of pairs, an image and a plane of the same size:

    len(source)       number of items
    source.name(i)    name of item i, for errors and for the manifest of a dataset
    source.read(i)    (image uint8 [H, W, 3] RGB, plane float32 [H, W])

`plane` is the depth of an RGB-D scene (finite, > 0, larger = farther), the `defocus` in [0, 1] of a
rendered dataset, or the binary mask (1 = blurred) of a labelled photo; each class says which.
Indices run from 0 to len(source) - 1. `read` is called from many threads at once and returns the
same arrays for the same index; it raises `DataFileError`, naming the file, if one cannot be used.

Three methods are optional. The functions of the same names below call them, or fall back:

    source.origin(i)      the files of item i: a dict of paths relative to the root; else None
    source.paths(i)       the paths of those files, a tuple; else ()
    source.read_image(i)  only the image, if that is cheaper than `read`; else `read(i)[0]`
"""

import threading
from abc import abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from data_gen.io.errors import DataFileError
from data_gen.io.resizing import fit_scale, resize_with_map


class Source(Protocol):
    """Numbered pairs of image and plane; see the module."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def name(self, i: int) -> str:
        """Name of item `i`."""

    @abstractmethod
    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Item `i`: image uint8 [H, W, 3] RGB, plane float32 [H, W]."""


def origin(source: Source, i: int) -> dict | None:
    """`source.origin(i)`, the files of an item relative to its root; None if it has none."""
    of_source = getattr(source, "origin", None)
    return of_source(i) if of_source else None


def paths(source: Source, i: int) -> tuple[Path, ...]:
    """`source.paths(i)`, the paths of the files of an item; () if it has none."""
    of_source = getattr(source, "paths", None)
    return of_source(i) if of_source else ()


def read_image(source: Source, i: int) -> np.ndarray:
    """Only the image of item `i`: `source.read_image(i)` if there is one, else `source.read`."""
    reader = getattr(source, "read_image", None)
    return reader(i) if reader else source.read(i)[0]


@dataclass(frozen=True)
class Concat(Source):
    """Several sources one after another. `origin` numbers their roots from 0."""

    sources: tuple[Source, ...]

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def _find(self, i):
        if not 0 <= i < len(self):
            raise IndexError(f"an index must lie in 0 .. {len(self) - 1}; received {i}")
        ends = list(accumulate(map(len, self.sources)))
        k = bisect_right(ends, i)
        return k, i - (ends[k - 1] if k else 0)

    def name(self, i) -> str:
        k, i = self._find(i)
        return self.sources[k].name(i)

    def read(self, i):
        k, i = self._find(i)
        return self.sources[k].read(i)

    def origin(self, i) -> dict | None:
        k, i = self._find(i)
        files = origin(self.sources[k], i)
        return files and {"root": k, **files}

    def paths(self, i) -> tuple[Path, ...]:
        k, i = self._find(i)
        return paths(self.sources[k], i)

    def read_image(self, i):
        k, i = self._find(i)
        return read_image(self.sources[k], i)


def concat(sources: Iterable[Source]) -> Concat:
    """One source out of several."""
    return Concat(tuple(sources))


@dataclass(frozen=True)
class Subset(Source):
    """The items of a source at `indices` (a tuple or a range), in that order."""

    source: Source
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, i) -> str:
        return self.source.name(self.indices[i])

    def read(self, i):
        return self.source.read(self.indices[i])

    def origin(self, i) -> dict | None:
        return origin(self.source, self.indices[i])

    def paths(self, i) -> tuple[Path, ...]:
        return paths(self.source, self.indices[i])

    def read_image(self, i):
        return read_image(self.source, self.indices[i])


class Wrapper(Source):
    """The items of one source, `self.source`, under their own numbers; `read` is the subclass's."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def name(self, i) -> str:
        return self.source.name(i)

    def origin(self, i) -> dict | None:
        return origin(self.source, i)

    def paths(self, i) -> tuple[Path, ...]:
        return paths(self.source, i)


@dataclass(frozen=True)
class Resized(Wrapper):
    """A source whose items are resized to what a square crop needs (`resizing.fit_scale`).

    A short side below `crop` px is enlarged to it, one above 800 px reduced to that. `values` says
    whether the values of the plane change: "kept" for depth and binary masks (the COC of a depth
    map is computed afterwards, in pixels of the resized image), "scaled" with the size for
    `defocus`.

    Raises (in `read`):
        DataFileError: an item larger than `max_pixels`, as stored or once it is enlarged: a strip
            of one pixel, enlarged to the crop, would fill the memory. None: no limit.
    """

    source: Source
    crop: int
    values: Literal["kept", "scaled"] = "kept"
    max_pixels: int | None = None

    def read(self, i):
        image, plane = self.source.read(i)
        self._check_size(i, *plane.shape)
        scale = fit_scale(*plane.shape, self.crop)
        return (image, plane) if scale == 1 else resize_with_map(image, plane, scale, self.values)

    def _check_size(self, i, height, width):
        pixels = height * width * max(1.0, self.crop / min(height, width)) ** 2
        if self.max_pixels is not None and pixels > self.max_pixels:
            raise DataFileError(
                f"{self.name(i)}: a scene must have at most {self.max_pixels / 1e6:.0f} megapixels "
                f"once its short side is enlarged to the crop of {self.crop} px; received "
                f"{height} x {width} px, which becomes {pixels / 1e6:.0f} megapixels"
            )


class Cached(Wrapper):
    """A source that caches the most recently used items, up to `max_items` or `max_bytes`.

    `error`: the first exception raised by reading, or None. TensorFlow turns exceptions inside
    tf.data into text; the original is available here.
    """

    def __init__(self, source: Source, max_items: int | None = None, max_bytes: int | None = None):
        self.source, self.max_items, self.max_bytes = source, max_items, max_bytes
        self.error: Exception | None = None
        self._kept: OrderedDict[int, tuple] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def read(self, i):
        with self._lock:
            if i in self._kept:
                self._kept.move_to_end(i)
                return self._kept[i]
        # Outside the lock: threads read different items at the same time.
        try:
            pair = self.source.read(i)
        except Exception as error:
            self.error = self.error or error
            raise
        with self._lock:
            if i not in self._kept:
                self._kept[i] = pair
                self._bytes += _bytes(pair)
            while self._is_over():
                self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        return pair

    def forget(self, i) -> None:
        """Drops item `i` from the cache, where it is in it."""
        with self._lock:
            if i in self._kept:
                self._bytes -= _bytes(self._kept.pop(i))

    def _is_over(self) -> bool:
        too_many = self.max_items is not None and len(self._kept) > self.max_items
        return too_many or (self.max_bytes is not None and self._bytes > self.max_bytes)


def _bytes(pair) -> int:
    return sum(plane.nbytes for plane in pair)

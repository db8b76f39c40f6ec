"""All items of a source in the memory of a device, cut there a batch at a time.

A pixel is one int32: red, green, blue, and the plane's value where that is 0 or 1, as of a binary
mask; other planes are float32 beside it. So cutting is one gather of four bytes a pixel, of a type
that a GPU gathers.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import psutil
import tensorflow as tf

from data_gen.io.parallel import ordered
from data_gen.rendering.compositing import symmetric_index
from data_gen.sources.base import Cached

SHARE_OF_FREE_MEMORY = 0.5
CHANNELS = 4
# Indices are int32 up to here.
MOST_SMALL = 2**31 - 1


class Resident:
    """What `source.read` gives for every item, kept on the device that is current.

    sizes: int32 [items, 2], height and width. ranges: float32 [items, 2], the smallest and the
    largest value of the plane.
    """

    def __init__(self, source: Cached, progress: Callable = lambda items, **_: items):
        """Reads all items, as many at a time as there are cores.

        Args:
            progress: wraps the iterable of items, as tqdm does.
        Raises:
            ValueError: they do not fit. And what `source.read` raises.
        """
        images, planes = _read(source, progress)
        self.sizes = np.array([image.shape[:2] for image in images], np.int32)
        self.ranges = np.array([(p.min(), p.max()) for p in planes], np.float32)
        pixels = self.sizes.prod(axis=1, dtype=np.int64)
        kind = np.int32 if pixels.sum() <= MOST_SMALL else np.int64
        binary = all(np.isin(plane, (0, 1)).all() for plane in planes)
        packed = np.empty([pixels.sum(), CHANNELS], np.uint8)
        packed[:, 3] = 0
        apart = None if binary else np.empty([pixels.sum()], np.float32)
        ends = np.cumsum(pixels)
        for image, plane, end in zip(images, planes, ends, strict=True):
            part = slice(end - plane.size, end)
            packed[part, :3] = image.reshape(-1, 3)
            if binary:
                packed[part, 3] = plane.ravel()
            else:
                apart[part] = plane.ravel()
        try:
            # As a tensor each: a constant of a graph could not be so large.
            self._pixels = tf.convert_to_tensor(packed.view(np.int32)[:, 0])
            self._planes = None if binary else tf.convert_to_tensor(apart)
            self._starts = tf.convert_to_tensor((ends - pixels).astype(kind))
            self._sizes = tf.convert_to_tensor(self.sizes)
        except tf.errors.ResourceExhaustedError as error:
            raise _too_large(packed.nbytes + (0 if binary else apart.nbytes)) from error

    def __len__(self) -> int:
        return len(self.sizes)

    def image(self, items, rows, columns) -> tf.Tensor:
        """Pixels of items int32 [N], [N, h, w, 3] float32 in [0, 1].

        rows int32 [N, h], columns [N, w]: positions, mirrored beyond the borders.
        """
        pixels = tf.gather(self._pixels, self._index(items, rows, columns))
        return tf.cast(tf.bitcast(pixels, tf.uint8)[..., :3], tf.float32) / 255.0

    def plane(self, items, rows, columns) -> tf.Tensor:
        """The plane there, [N, h, w] float32."""
        index = self._index(items, rows, columns)
        if self._planes is not None:
            return tf.gather(self._planes, index)
        pixels = tf.bitcast(tf.gather(self._pixels, index), tf.uint8)
        return tf.cast(pixels[..., 3], tf.float32)

    def _index(self, items, rows, columns):
        size = tf.gather(self._sizes, items)
        rows = symmetric_index(rows, size[:, :1])
        columns = symmetric_index(columns, size[:, 1:])
        kind = self._starts.dtype
        at_row = tf.cast(rows, kind) * tf.cast(size[:, 1:], kind)
        at_row += tf.gather(self._starts, items)[:, None]
        return at_row[:, :, None] + tf.cast(columns, kind)[:, None]


def _read(source: Cached, progress) -> tuple[list, list]:
    """Images and planes of all items, in order."""
    room = SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available
    images, planes, taken = [], [], 0

    def read(i):
        pair = source.read(i)
        source.forget(i)
        return pair

    with contextlib.closing(ordered(read, len(source))) as pairs:
        for image, plane in progress(pairs, total=len(source)):
            images.append(image)
            planes.append(plane)
            taken += image.nbytes + plane.nbytes
            if taken > room:
                raise _too_large(taken)
    return images, planes


def _too_large(count: int) -> ValueError:
    return ValueError(
        "with --data-on device all images must fit into the memory of the device, and twice into "
        f"half of what is free on the host; received more than {count / 2**30:.1f} GiB: use "
        "--data-on host"
    )

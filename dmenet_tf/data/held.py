"""Photos and ready-made pairs that stay in memory as bytes, cut there by TensorFlow alone.

Python is asked for an item once. From then on its image is found, cut and cast by operations of
TensorFlow: many threads at a time, without the interpreter, and only what is cut becomes floats.

Held of an item: its image as uint8; its plane (a binary mask, a `defocus` map) as uint8 too, the
numbers of its up to 256 different values, else as float32. So nothing is rounded: what is cut is
equal bit for bit to what is cut of `source.read`.
"""

import threading

import numpy as np
import psutil
import tensorflow as tf

from data_gen.sources.base import Cached, Wrapper

MOST_VALUES = 256  # of a plane that is held as numbers of its values
SHARE_OF_FREE_MEMORY = 0.5
STRINGS = 4  # of an item, see `pack`


class Budget:
    """How many bytes several sources may hold together; None: any number."""

    def __init__(self, most: int | None):
        self._left, self._lock = most, threading.Lock()

    @classmethod
    def of_free_memory(cls) -> "Budget":
        return cls(int(SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available))

    def take(self, count: int) -> bool:
        """Whether there was room for so many bytes, which are taken then."""
        with self._lock:
            if self._left is None:
                return True
            if count > self._left:
                return False
            self._left -= count
            return True


class Held(Wrapper):
    """The items of a cached source, held in memory as long as the budget lasts, read anew after.

    `item(i)` is made of graph operations; `read(i)` is the source's.
    """

    def __init__(self, source: Cached, budget: Budget):
        self.source, self._budget = source, budget
        # Filled as items are first read. A resource, which the pipelines that use it share.
        self._table = tf.lookup.experimental.MutableHashTable(
            tf.int64, tf.string, default_value=[""] * STRINGS
        )

    def read(self, i):
        return self.source.read(i)

    def item(self, index: tf.Tensor) -> "Item":
        """Item `index`, int64 scalar."""
        index = tf.cast(index, tf.int64)
        held = tf.ensure_shape(self._table.lookup(index), [STRINGS])

        def first():
            packed, kept = tf.numpy_function(
                self._packed, [index], (tf.string, tf.bool), stateful=False
            )
            packed.set_shape(held.shape)
            kept.set_shape([])

            def insert():
                with tf.control_dependencies([self._table.insert(index, packed)]):
                    return tf.identity(packed)

            return tf.cond(kept, insert, lambda: packed)

        return Item(tf.cond(tf.equal(held[0], ""), first, lambda: held))

    def _packed(self, index):
        """The strings of an item, and whether they are to be held."""
        image, plane = self.source.read(int(index))
        packed = pack(image, plane)
        kept = self._budget.take(sum(map(len, packed)))
        if kept:
            self.source.forget(int(index))
        return np.array(packed, object), np.bool_(kept)


def pack(image: np.ndarray, plane: np.ndarray) -> list[bytes]:
    """An item as strings: size int32 [2], image uint8 [H, W, 3], plane, the plane's values."""
    plane = np.ascontiguousarray(plane, np.float32)
    # Compared as bits: -0.0 stays apart from 0.0, and nothing is asked of NaN.
    values, numbers = np.unique(plane.view(np.uint32), return_inverse=True)
    if len(values) > MOST_VALUES:
        values, numbers = values[:0], plane
    else:
        numbers = numbers.astype(np.uint8)
    size = np.array(plane.shape, np.int32)
    return [part.tobytes() for part in (size, np.ascontiguousarray(image), numbers, values)]


class Item:
    """An image and its plane as strings (`pack`), to be cut."""

    def __init__(self, packed: tf.Tensor):
        size, self._image, self._plane, self._values = tf.unstack(packed)
        self.size = tf.ensure_shape(tf.io.decode_raw(size, tf.int32), [2])

    def window(self, corner, side) -> tuple[tf.Tensor, tf.Tensor]:
        """A square: image [side, side, 3] float32 in [0, 1], plane [side, side, 1] float32.

        Args:
            corner: int32 [2], top and left; side: pixels, a number or an int32 scalar.
        """
        image = _cut(tf.io.decode_raw(self._image, tf.uint8), self.size, 3, corner, side)
        plane = tf.cond(
            tf.equal(self._values, ""),
            lambda: _cut(tf.io.decode_raw(self._plane, tf.float32), self.size, 1, corner, side),
            lambda: tf.gather(
                tf.io.decode_raw(self._values, tf.float32),
                tf.cast(
                    _cut(tf.io.decode_raw(self._plane, tf.uint8), self.size, 1, corner, side),
                    tf.int32,
                ),
            ),
        )
        return tf.cast(image, tf.float32) / 255.0, plane


def _cut(flat, size, channels, corner, side):
    whole = tf.reshape(flat, [size[0], size[1], channels])
    return tf.slice(whole, [corner[0], corner[1], 0], [side, side, channels])

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
ALIGNMENT = 64  # bytes, as TensorFlow wants it of a tensor


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
        self._table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.string, "")

    def read(self, i):
        return self.source.read(i)

    def item(self, index: tf.Tensor) -> "Item":
        """Item `index`, int64 scalar."""
        index = tf.cast(index, tf.int64)
        held = self._table.lookup(index)

        def first():
            packed, kept = tf.numpy_function(
                self._packed, [index], (tf.string, tf.bool), stateful=False
            )
            packed.set_shape([])
            kept.set_shape([])

            def insert():
                with tf.control_dependencies([self._table.insert(index, packed)]):
                    return tf.identity(packed)

            return tf.cond(kept, insert, lambda: packed)

        return Item(tf.cond(tf.equal(held, ""), first, lambda: held))

    def _packed(self, index):
        """The bytes of an item, and whether they are to be held."""
        image, plane = self.source.read(int(index))
        packed = pack(image, plane)
        kept = self._budget.take(len(packed))
        if kept:
            self.source.forget(int(index))
        return packed, np.bool_(kept)


def pack(image: np.ndarray, plane: np.ndarray) -> bytes:
    """An item as bytes: what `Item` says."""
    plane = np.ascontiguousarray(plane, np.float32)
    # Compared as bits: -0.0 stays apart from 0.0, and nothing is asked of NaN.
    values, numbers = np.unique(plane.view(np.uint32), return_inverse=True)
    if len(values) > MOST_VALUES:
        values, numbers = values[:0], plane
    else:
        numbers = numbers.astype(np.uint8)
    head = np.array([*plane.shape, len(values)], np.int32)
    parts = [part.tobytes() for part in (head, values, np.ascontiguousarray(image), numbers)]
    return b"".join(part + bytes(-len(part) % ALIGNMENT) for part in parts)


class Item:
    """An image and its plane, to be cut.

    Parts of the bytes, each from a multiple of `ALIGNMENT` on: int32 H, W and how many values;
    those values, float32; image uint8 [H, W, 3]; plane [H, W], uint8 numbers of the values, or
    without values float32.
    """

    def __init__(self, packed: tf.Tensor):
        self._bytes = tf.io.decode_raw(packed, tf.uint8)
        head = self._part(0, 3, tf.int32)
        self.size, self._count = head[:2], head[2]

    def window(self, corner, side) -> tuple[tf.Tensor, tf.Tensor]:
        """A square: image [side, side, 3] uint8, plane [side, side, 1] float32.

        Args:
            corner: int32 [2], top and left; side: pixels, a number or an int32 scalar.
        """
        pixels = self.size[0] * self.size[1]
        at_image = ALIGNMENT + _aligned(4 * self._count)
        at_plane = at_image + _aligned(3 * pixels)

        def cut(start, channels, kind):
            whole = self._part(start, channels * pixels, kind)
            whole = tf.reshape(whole, [self.size[0], self.size[1], channels])
            return tf.slice(whole, [corner[0], corner[1], 0], [side, side, channels])

        def of_values():
            values = self._part(ALIGNMENT, self._count, tf.float32)
            return tf.gather(values, tf.cast(cut(at_plane, 1, tf.uint8), tf.int32))

        plane = tf.cond(self._count > 0, of_values, lambda: cut(at_plane, 1, tf.float32))
        return cut(at_image, 3, tf.uint8), plane

    def _part(self, start, count, kind):
        """`count` numbers of that type: a view of the bytes, thanks to their alignment."""
        flat = tf.slice(self._bytes, [start], [count * kind.size])
        return flat if kind == tf.uint8 else tf.bitcast(tf.reshape(flat, [-1, kind.size]), kind)


def _aligned(count):
    return (count + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT

"""Resizing of an image and its map as they are read: NumPy and Pillow.

The twins of `augment.fit_scale` and `augment.resize_with_map`, for what is read in the threads of a
tf.data pipeline. There no TensorFlow operation may run one by one: on a machine with a GPU they
would be placed on it, each waiting for its turn beside the training, and on an H200 (TensorFlow
2.21, 16 threads) they got into each other's way and failed with inputs of other operations.
"""

import numpy as np
from PIL import Image

# Section 5 of the paper: a short side above this is reduced to it before cropping.
SHORT_SIDE_MAX = 800


def fit_scale(height: int, width: int, crop: int) -> np.float32:
    """`augment.fit_scale` of numbers."""
    short = min(height, width)
    target = min(max(short, crop), max(SHORT_SIDE_MAX, crop))
    return np.float32(target) / np.float32(short)


def resize_with_map(image: np.ndarray, plane: np.ndarray, scale, values: str):
    """`augment.resize_with_map` of an image uint8 [H, W, C] and a float32 plane [H, W].

    Returns (uint8 [h, w, C], float32 [h, w]). The image is that of `augment` up to float32's
    rounding, which changes a level where a value lies half-way between two; the plane is equal.
    """
    scale = np.float32(scale)
    height, width = (max(int(np.rint(np.float32(n) * scale)), 1) for n in plane.shape)
    # Floats, as Pillow would round bytes after each of its two passes.
    channels = [
        Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR)
        for channel in np.moveaxis(image.astype(np.float32), 2, 0)
    ]
    resized = np.rint(np.stack([np.asarray(c) for c in channels], axis=2))
    plane = plane[_nearest(height, plane.shape[0])[:, None], _nearest(width, plane.shape[1])]
    if values == "scaled":
        plane = np.minimum(plane * scale, np.float32(1.0))
    return np.clip(resized, 0, 255).astype(np.uint8), plane


def _nearest(count: int, of: int) -> np.ndarray:
    """For each of `count` pixels the one of `of` in which its centre lies, as TensorFlow counts."""
    centres = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(of / count)
    return np.minimum(centres.astype(np.int64), of - 1)

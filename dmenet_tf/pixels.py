"""Pixels as floats and as bytes: RGB or grey, of any shape."""

import numpy as np


def as_float(image: np.ndarray) -> np.ndarray:
    """uint8, uint16, or float in [0, 1] -> float32 in [0, 1]."""
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """uint8, uint16, or float -> uint8; of 16 bits the upper 8, floats clipped to [0, 1]."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    return np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)

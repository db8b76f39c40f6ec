"""Pixel values: conversion between integers and floats, display values and light. NumPy only.

The sRGB curve itself, as TensorFlow operations, is in `data_gen/rendering/light.py`.
"""

import numpy as np

# A power law close to the sRGB curve, without its linear part near black.
DISPLAY_GAMMA = 2.2


def as_float(image: np.ndarray) -> np.ndarray:
    """uint8, uint16, or float in [0, 1] -> float32 in [0, 1]; the same array if it is float32."""
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """uint8, uint16 (its upper 8 bits), or float in [0, 1] (rounded, clipped) -> uint8."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    return np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)


def to_linear(image: np.ndarray) -> np.ndarray:
    """Display values in [0, 1] -> linear light by `DISPLAY_GAMMA`, in which a lens blurs."""
    return np.power(image, np.float32(DISPLAY_GAMMA))


def to_display(image: np.ndarray) -> np.ndarray:
    """Inverse of `to_linear`; values outside [0, 1] are clipped."""
    return np.power(np.clip(image, 0.0, 1.0), np.float32(1 / DISPLAY_GAMMA))

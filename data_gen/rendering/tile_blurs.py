"""The blur of one layer in one tile, as matrix products.

A tile of 40 px is computed from a window of 68 px, the tile and its margin of 14 px. Its planes,
three colours and the layer's mask, lie between rows and columns, [WINDOW, 4, WINDOW]: so a product
along either axis is a plain reshape.

Separable kernels are a banded matrix along each axis. Kernels that are even along both axes, as a
disc is, are diagonal in the real Fourier basis of the window, cosines and sines alike: transformed,
multiplied and transformed back they take three times the products of a separable kernel, where a
dense one would take hundreds. The transform is circular; what wraps around ends in the margin.
"""

import numpy as np
import tensorflow as tf

from data_gen.rendering import apertures
from data_gen.rendering.apertures import RADIUS
from data_gen.rendering.layers import MAX_LAYERS

# Larger tiles see more layers, smaller ones are mostly margin; 40 px also divides a crop of 240.
TILE = 40
WINDOW = TILE + 2 * RADIUS


def gaussian_bands(sigma_px: tf.Tensor) -> tf.Tensor:
    """Blur of a window's axis as a matrix: sigma [L] pixels -> [L', TILE, WINDOW].

    L' is L rounded up to a multiple of MAX_LAYERS: one shape for nearly every picture.
    """
    taps = apertures.gaussian_taps(_to_common_count(sigma_px))
    # Row i of a band holds the taps at columns i .. i + 2*RADIUS.
    rows = tf.pad(taps, [[0, 0], [0, WINDOW + 1 - taps.shape[1]]])
    flat = tf.tile(rows, [1, TILE])[:, : TILE * WINDOW]
    return tf.reshape(flat, [-1, TILE, WINDOW])


def blur_by_band(stack, band):
    """Planes [WINDOW, 4, WINDOW], band [TILE, WINDOW] of their layer -> [TILE, 4, TILE].

    Or of several tiles, along a first axis of all three.
    """
    tiles = stack.shape[:-3]
    stack = tf.reshape(stack, [*tiles, 4 * WINDOW, WINDOW])
    blurred = tf.reshape(tf.matmul(stack, band, transpose_b=True), [*tiles, WINDOW, 4 * TILE])
    return tf.reshape(tf.matmul(band, blurred), [*tiles, TILE, 4, TILE])


def _fourier_basis() -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal cosines and sines over a window, [WINDOW, WINDOW], a row each; frequencies."""
    half = WINDOW // 2
    frequency = np.concatenate([np.arange(half + 1), np.arange(1, half)])
    angle = 2 * np.pi / WINDOW * np.outer(frequency, np.arange(WINDOW))
    basis = np.where(np.arange(WINDOW)[:, None] <= half, np.cos(angle), np.sin(angle))
    return basis / np.linalg.norm(basis, axis=1, keepdims=True), frequency


_BASIS, _FREQUENCY = _fourier_basis()
_TO_WAVES = _BASIS.astype(np.float32)
_FROM_WAVES = np.ascontiguousarray(_TO_WAVES[:, RADIUS : RADIUS + TILE].T)  # the tile's pixels
_OF_KERNEL = np.cos(
    2 * np.pi / WINDOW * np.outer(_FREQUENCY, np.arange(-RADIUS, RADIUS + 1))
).astype(np.float32)


def even_spectra(kernels: tf.Tensor) -> tf.Tensor:
    """Factors of every wave: even kernels [L, 29, 29] -> [L', WINDOW, WINDOW], L' as of bands."""
    spectra = tf.matmul(_OF_KERNEL, tf.matmul(kernels, _OF_KERNEL, transpose_b=True))
    return _to_common_count(spectra)


def blur_by_spectrum(stack, spectrum):
    """Planes [WINDOW, 4, WINDOW], spectrum [WINDOW, WINDOW] of their layer -> [TILE, 4, TILE].

    Or of several tiles, along a first axis of all three.
    """
    tiles = stack.shape[:-3]
    stack = tf.reshape(stack, [*tiles, 4 * WINDOW, WINDOW])
    waves = tf.matmul(stack, _TO_WAVES, transpose_b=True)
    waves = tf.matmul(_TO_WAVES, tf.reshape(waves, [*tiles, WINDOW, 4 * WINDOW]))
    waves = tf.reshape(waves, [*tiles, WINDOW, 4, WINDOW]) * spectrum[..., :, None, :]
    blurred = tf.matmul(_FROM_WAVES, tf.reshape(waves, [*tiles, WINDOW, 4 * WINDOW]))
    blurred = tf.reshape(blurred, [*tiles, 4 * TILE, WINDOW])
    blurred = tf.matmul(blurred, _FROM_WAVES, transpose_b=True)
    return tf.reshape(blurred, [*tiles, TILE, 4, TILE])


def _to_common_count(of_layers: tf.Tensor) -> tf.Tensor:
    of_layers = tf.convert_to_tensor(of_layers)
    room = tf.math.floormod(-tf.shape(of_layers)[0], MAX_LAYERS)
    return tf.pad(of_layers, [[0, room]] + [[0, 0]] * (of_layers.shape.rank - 1))

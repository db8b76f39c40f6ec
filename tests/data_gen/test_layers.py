"""Layers: their number, order and border at the focus plane."""

import numpy as np
import tensorflow as tf

from data_gen import optics
from data_gen.rendering.layers import MAX_LAYERS, layer_bounds, quantise
from data_gen.rendering.lens import Lens, defocus_map


def quantised(depth, lens):
    layers = layer_bounds(lens, tf.reduce_min(depth), tf.reduce_max(depth))
    return quantise(depth, lens, layers)


def test_layers_cover_the_depth_and_split_at_the_focus():
    depth = np.tile(np.linspace(1.0, 3.0, 60, dtype=np.float32), (48, 1))
    depth[10:30, 20:40] = 1.2
    depth, lens = tf.constant(depth), Lens(tf.constant(1.5), tf.constant(20.0))
    index, sigma_px = quantised(depth, lens)
    index, sigma_px = index.numpy(), sigma_px.numpy()
    assert index.min() == 0 and index.max() == len(sigma_px) - 1 < MAX_LAYERS
    true_sigma = optics.defocus_to_sigma(defocus_map(depth, lens).numpy())
    step_px = 20.0 * (0.5 / 1.0 + 1.5 / 3.0) / (MAX_LAYERS - 1) / 4
    assert np.abs(sigma_px[index] - true_sigma).max() <= max(step_px, 0.1 / 4)
    # Farther is a lower index, and no layer holds pixels of both sides of the focus plane.
    order = np.argsort(-depth.numpy().ravel(), kind="stable")
    assert (np.diff(index.ravel()[order]) >= 0).all()
    near, far = index[depth.numpy() < 1.499], index[depth.numpy() > 1.501]
    assert not set(near) & set(far)


def test_at_most_350_layers_whatever_the_lens():
    for alpha in (1e-3, 1.0, 30.0, 55.9, 1e4):
        depth = tf.constant([[1.0, 2.0, 1e6]])
        index, sigma_px = quantised(depth, Lens(1.7, alpha))
        assert 0 < len(sigma_px) <= MAX_LAYERS
        assert int(tf.reduce_max(index)) < len(sigma_px)

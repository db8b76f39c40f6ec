"""Layers of a scene: equal steps of the signed circle of confusion, ordered by depth.

At most 350 (Lee et al., CVPR 2019, section 3.1). Pixels nearer and farther than the focus plane
never share a layer.
"""

from typing import NamedTuple

import tensorflow as tf

from data_gen import optics
from data_gen.rendering.lens import Lens, blur_coc_px, signed_coc_px

MAX_LAYERS = 350
# Finer layers than 0.1 px of COC (0.025 px of sigma) change no visible pixel.
MIN_LAYER_STEP_PX = 0.1


class LayerBounds(NamedTuple):
    """How a lens cuts a range of depth: layer number n holds signed COCs n*step .. (n+1)*step.

    `first`, `last`: numbers of the nearest and the farthest layer; `step`: COC px of a layer.

    All float64: in float32 a pixel at a border falls into the one or the other layer with the
    order of the operations, which differs between a graph and eager execution.
    """

    first: tf.Tensor
    last: tf.Tensor
    step: tf.Tensor

    @property
    def count(self) -> tf.Tensor:
        """Number of layers, int32."""
        return tf.cast(self.last - self.first, tf.int32) + 1

    @property
    def first_near(self) -> tf.Tensor:
        """Index of the first layer in front of the focus plane (int32; L where there is none)."""
        return tf.cast(self.last, tf.int32) + 1


def layer_bounds(lens: Lens, near, far) -> LayerBounds:
    """The layers of a scene; `near`, `far` bound its WHOLE depth map."""
    bounds = signed_coc_px(tf.stack([_double(near), _double(far)]), _double_lens(lens))
    # MAX_LAYERS - 1 steps: the range touches one layer more when it does not start on a border.
    step = tf.maximum((bounds[1] - bounds[0]) / (MAX_LAYERS - 1), MIN_LAYER_STEP_PX)
    first, last = tf.unstack(tf.floor(bounds / step))
    return LayerBounds(first, last, step)


def quantise(depth: tf.Tensor, lens: Lens, layers: LayerBounds):
    """Layers of a depth map: index [H, W] int32 (0 = farthest) and their `sigma_px` [L].

    Layers are equal steps of the signed COC, so that near and far side of the focus plane never
    share one. `layers` are those of the WHOLE depth map: a crop then has the layers of the whole.
    """
    numbers = tf.range(layers.last, layers.first - 1.0, -1.0, dtype=tf.float64)
    return layer_index(depth, lens, layers), layer_sigma_px(numbers, lens, layers)


def layer_index(depth: tf.Tensor, lens: Lens, layers: LayerBounds) -> tf.Tensor:
    """Index of every pixel's layer, int32, 0 = farthest; lens and layers may be of a batch."""
    first, last, step = layers
    level = tf.floor(signed_coc_px(_double(depth), _double_lens(lens)) / step)
    return tf.cast(last - tf.clip_by_value(level, first, last), tf.int32)


def layer_sigma_px(numbers: tf.Tensor, lens: Lens, layers: LayerBounds) -> tf.Tensor:
    """Sigma of the layers of these numbers (float64); lens and layers may be of a batch."""
    centre = (numbers + 0.5) * layers.step
    coc_px = tf.cast(blur_coc_px(centre, _double_lens(lens)), tf.float32)
    return optics.coc_to_sigma(coc_px)


def _double(value):
    return tf.cast(value, tf.float64)


def _double_lens(lens):
    return lens._replace(
        focus_distance=_double(lens.focus_distance), alpha_px=_double(lens.alpha_px)
    )

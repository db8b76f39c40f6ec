"""S, the sharpness calibration network: which pixels of a defocus map count as blurred?

    defocus  [B, H, W, 1]  B's map of a photo with a binary label
    logits   [B, H, W, 1]  float32, positive = blurred

1x1 convolutions only: a pixel is judged by its own value, so that S calibrates the level at which
B calls a pixel blurred and can repair nothing by context (Lee et al. 2019, Section 4).

The published S may map levels to logits in any order, so that labels reach B through whatever S
has made of the scale by then. `build_monotone_calibration` can only stretch and shift:

    logits = k * (logit(defocus) - c),  k = softplus(K) > 0

with two learned numbers, K and c: what the label calls blurred must have a larger map.
"""

import math

import keras
import tensorflow as tf

from dmenet_tf.networks.layers import convolution, normalised, scaled


def build_sharpness_calibration(width=1.0):
    """S at `width` times the paper's channels; see the module for its input and output."""
    defocus = keras.Input((None, None, 1), name="defocus")
    x = defocus
    for stage, channels in ((1, 64), (2, 32), (3, 16)):
        for i in (1, 2, 3):
            x = convolution(x, scaled(channels, width), f"stage{stage}_conv{i}", kernel_size=1)
            x = normalised(x, f"stage{stage}_bn{i}")
    logits = convolution(x, 1, "stage4_conv1", kernel_size=1, dtype="float32")
    return keras.Model(defocus, logits, name="sharpness_calibration")


# Where S starts: the level that it takes for the border of blurred, sigma of some 0.8 px, and how
# steeply it decides there.
START_LEVEL, START_SLOPE = 0.12, 4.0
# A map of exactly 0 or 1 has no logit; beyond 1e-4 there is nothing that a label could tell.
LEVEL_MARGIN = 1e-4


@keras.saving.register_keras_serializable(package="dmenet_tf")
class MonotoneCalibration(keras.layers.Layer):
    """k * (logit(defocus) - c), k > 0: [..., 1] -> [..., 1], float32."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape):
        slope = math.log(math.expm1(START_SLOPE))  # the inverse of softplus
        offset = math.log(START_LEVEL / (1.0 - START_LEVEL))
        constant = keras.initializers.Constant
        self.slope = self.add_weight(name="slope", shape=(), initializer=constant(slope))
        self.offset = self.add_weight(name="offset", shape=(), initializer=constant(offset))

    def call(self, defocus):
        level = tf.clip_by_value(defocus, LEVEL_MARGIN, 1.0 - LEVEL_MARGIN)
        logit = tf.math.log(level) - tf.math.log1p(-level)
        return tf.nn.softplus(self.slope) * (logit - self.offset)

    def compute_output_shape(self, input_shape):
        return input_shape


def build_monotone_calibration(width=1.0):
    """The monotone S, which has no channels to scale: `width` is there for the published one."""
    defocus = keras.Input((None, None, 1), name="defocus")
    logits = MonotoneCalibration(name="calibration")(defocus)
    return keras.Model(defocus, logits, name="monotone_calibration")


SHARPNESS_NETWORKS = {
    "published": build_sharpness_calibration,
    "monotone": build_monotone_calibration,
}

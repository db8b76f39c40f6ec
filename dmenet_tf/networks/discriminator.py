"""D, the domain discriminator: does a feature of B come from a synthetic or a real photo?

    feature  [B, H, W, 64]          B's `feature` output
    logits   [B, H/32, W/32, 1]     float32, sizes rounded up; positive = synthetic (z = 1)

Five 4x4 convolutions of stride 2 without bias, a logit for each patch (Lee et al. 2019, Section 4).
"""

import keras

from dmenet_tf.networks.layers import normalised, scaled


def build_domain_discriminator(width=1.0):
    """D at `width` times the paper's channels; see the module for its input and output."""
    feature = keras.Input((None, None, scaled(64, width)), name="feature")
    x = feature
    for level, channels in enumerate((64, 128, 256, 512)):
        x = _halved(x, scaled(channels, width), f"level{level}_conv1")
        x = normalised(x, f"level{level}_bn1")
    logits = _halved(x, 1, "level4_conv1", dtype="float32")
    return keras.Model(feature, logits, name="domain_discriminator")


def _halved(x, channels, name, **kwargs):
    return keras.layers.Conv2D(
        channels,
        4,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
        **kwargs,
    )(x)

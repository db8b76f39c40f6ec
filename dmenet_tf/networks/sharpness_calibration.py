"""S, the sharpness calibration network: which pixels of a defocus map count as blurred?

    defocus  [B, H, W, 1]  B's map of a photo with a binary label
    logits   [B, H, W, 1]  float32, positive = blurred

1x1 convolutions only: a pixel is judged by its own value, so that S calibrates the level at which
B calls a pixel blurred and can repair nothing by context (Lee et al. 2019, Section 4).
"""

import keras

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

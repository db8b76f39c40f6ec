"""The one VGG19 (Simonyan and Zisserman, 2015), which B's encoder and C share.

Input RGB in [0, 1]; inside, RGB * 255 becomes BGR minus the means (103.939, 116.779, 123.68), for
which the weights that `weights/vgg19_files.py` reads were made. Layers are called `conv1_1` ..
`conv5_4`, as in the paper.

Unlike keras.applications, convolutions pad by repeating the edge; that changes no weight's shape.
"""

import keras
import numpy as np
import tensorflow as tf

from dmenet_tf.architecture import CHANNELS_AND_COUNT
from dmenet_tf.networks.float16 import scale_of
from dmenet_tf.networks.layers import convolution, scaled

BGR_MEAN = (103.939, 116.779, 123.68)
# (number, convolutions) of each block; the last convolution is what the decoder joins.
_BLOCKS = tuple((block, count) for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1))


@keras.saving.register_keras_serializable(package="dmenet_tf")
class VGGPreprocessing(keras.layers.Layer):
    """RGB in [0, 1] -> BGR * 255 minus `BGR_MEAN`, float32: bfloat16 rounds 200.3 to 200."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, image):
        return tf.reverse(image, axis=[-1]) * 255.0 - tf.constant(BGR_MEAN)

    def compute_output_shape(self, input_shape):
        return input_shape


def vgg19_features(image, width=1.0, last="conv5_4"):
    """Builds VGG19 on a Keras tensor, up to the layer `last`.

    image: [B, H, W, 3] RGB in [0, 1]. Returns {layer name: feature after its ReLU}; layers of
    block k are [B, H / 2^(k-1), W / 2^(k-1), channels], rounded down. They are `small` in float16
    (see `layers.Convolution`).
    """
    # The input is some 60 units strong, not 1: the first layer starts that much weaker.
    first = keras.initializers.VarianceScaling(2.0 / 60.0**2, "fan_in", "truncated_normal")
    features = {}
    x = VGGPreprocessing(name="vgg_preprocessing")(image)
    for block, (channels, count) in enumerate(CHANNELS_AND_COUNT, start=1):
        if block > 1:
            x = keras.layers.MaxPooling2D(2, name=f"pool{block - 1}")(x)
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            initializer = "he_normal" if features else first
            x = convolution(
                x,
                scaled(channels, width),
                name,
                activation="relu",
                kernel_initializer=initializer,
                small=True,
                ordinary=0 if features else image.shape[-1],
            )
            features[name] = x
            if name == last:
                return features
    raise ValueError(f"last must be a VGG19 layer, conv1_1 to conv5_4; received {last!r}")


def balance_features(model, images) -> None:
    """Gives each channel of the features that leave B's encoder a root mean square of 1.

    Trained VGG features differ in strength by a factor of 1,000 from channel to channel; a decoder
    with random weights hears the loudest alone, and Adam's steps, of one size for all weights, do
    not change that soon. A channel is divided by its strength, and the next convolution multiplies
    by it: behind a ReLU and a maximum that changes no other feature.

    images: [B, H, W, 3] RGB in [0, 1], on which strengths are measured. A channel weaker than a
    twentieth of its layer's median is taken for that: what hardly ever fires would be all noise.
    """
    layers = [model.get_layer(f"conv{block}_{count}") for block, count in _BLOCKS]
    features = keras.Model(model.input, [layer.output for layer in layers])(images)
    for (block, _), layer, feature in zip(_BLOCKS, layers, features, strict=True):
        feature = tf.cast(feature, tf.float32) / scale_of(layer)
        power = tf.reduce_mean(tf.square(feature), axis=(0, 1, 2)).numpy()
        strength = np.sqrt(power)
        strength = np.maximum(strength, np.median(strength) / 20)
        strength[strength == 0] = 1.0  # what never fires stays as it is
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel / strength, bias / strength])
        if block < len(_BLOCKS):
            following = model.get_layer(f"conv{block + 1}_1")
            kernel, bias = following.get_weights()
            following.set_weights([kernel * strength[:, None], bias])

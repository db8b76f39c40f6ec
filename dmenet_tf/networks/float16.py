"""Float16 for features that are stronger than it can say: its largest number is 65504.

VGG19's features go beyond that, and those of random weights, whose scale nothing holds, a thousand
times beyond within a hundred steps. Under mixed_float16 they, and what is made of them, are
computed `small`: `scale_of` times the true values, which ReLU and pooling let through and the next
batch normalisation takes out (`layers.BatchNorm`).
"""

import keras
import tensorflow as tf

# A power of 2: nothing is rounded by it.
FLOAT16_SCALE = 2.0**-8
# Where features grow beyond this strength they are scaled down further.
FLOAT16_STRENGTH = 2.0**12


def scale_of(layer):
    """How many times the true values those of a layer are: other than 1 for `small` in float16.

    A number, or where the strength of the features is followed a float32 scalar.
    """
    return FLOAT16_SCALE * layer.factor() if is_small(layer) else 1.0


def is_small(layer) -> bool:
    return layer.small and layer.compute_dtype == "float16"


def one() -> float:
    """The `factor` of features whose strength is not followed."""
    return 1.0


def weakening(batch_norm):
    """A `factor` by the moving statistics of what is made of those features: a power of 2, <= 1."""

    def factor():
        mean, variance = (
            tf.cast(tf.convert_to_tensor(value), tf.float32)
            for value in (batch_norm.moving_mean, batch_norm.moving_variance)
        )
        strength = tf.sqrt(tf.reduce_max(tf.square(mean) + variance))
        over = tf.math.log(strength / FLOAT16_STRENGTH) / tf.math.log(2.0)
        return tf.stop_gradient(tf.pow(2.0, -tf.maximum(tf.math.ceil(over), 0.0)))

    return factor


@keras.saving.register_keras_serializable(package="dmenet_tf")
class Convolution(keras.layers.Conv2D):
    """Keras's; in float16, one with `small` output gives `scale_of` times the true values.

    Then its input is small, too, but for the first `ordinary` channels. `factor` is of the output,
    `input_factors` are (channels, factor) of what follows the ordinary ones; callables without
    arguments, which may be set once the network is built.
    """

    def __init__(self, filters, kernel_size, small=False, ordinary=0, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.small, self.ordinary = small, ordinary
        self.factor, self.input_factors = one, None

    def get_config(self):
        return {**super().get_config(), "small": self.small, "ordinary": self.ordinary}

    def call(self, inputs):
        if not is_small(self):
            return super().call(inputs)
        kernel, bias = (
            tf.cast(tf.convert_to_tensor(v), tf.float16) for v in (self.kernel, self.bias)
        )
        scale = scale_of(self)
        # Not the kernel: its gradient would be as many times larger, and overflow.
        outputs = tf.nn.conv2d(self._scaled(inputs, scale), kernel, 1, "VALID")
        return self.activation(_with_small_bias(outputs, bias, scale))

    def _scaled(self, inputs, scale):
        """The input, as many times the true one as the output."""
        following = self.input_factors() if self.input_factors else ()
        if not (self.ordinary or following):
            return inputs
        parts = [(self.ordinary, scale)]
        parts += [(channels, self.factor() / own()) for channels, own in following]
        left = inputs.shape[-1] - sum(channels for channels, _ in parts)
        scales = [tf.fill([channels], tf.cast(s, tf.float32)) for channels, s in parts]
        return inputs * tf.cast(tf.concat([*scales, tf.ones([left])], axis=0), tf.float16)


def _with_small_bias(x, bias, scale):
    """x + scale * bias. The bias's gradient, a sum over all pixels, is taken in float32.

    Where values are small, gradients are as many times larger: their sum may be beyond float16,
    and scaled it is not.
    """

    @tf.custom_gradient
    def add(x, bias):
        def gradient(upstream):
            summed = tf.reduce_sum(tf.cast(upstream, tf.float32), axis=[0, 1, 2])
            return upstream, tf.cast(summed * scale, bias.dtype)

        return tf.nn.bias_add(x, tf.cast(tf.cast(bias, tf.float32) * scale, bias.dtype)), gradient

    return add(x, bias)


@keras.saving.register_keras_serializable(package="dmenet_tf")
class TrueValues(keras.layers.Layer):
    """What `small` layers gave, float32 and as large as it is."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})

    def call(self, x):
        true = tf.cast(x, tf.float32)
        return true / FLOAT16_SCALE if x.dtype == tf.float16 else true

    def compute_output_shape(self, input_shape):
        return input_shape

"""Light: sRGB code values to linear light and back, and the noise of a sensor.

TensorFlow operations on tensors of any shape, float32 in [0, 1].
"""

import tensorflow as tf

from data_gen.rendering.options import Realism


def srgb_to_linear(code):
    """IEC 61966-2-1: sRGB code values in [0, 1] -> linear light in [0, 1]."""
    return tf.where(code <= 0.04045, code / 12.92, tf.pow((code + 0.055) / 1.055, 2.4))


def linear_to_srgb(light):
    """Inverse of `srgb_to_linear`."""
    # The floor keeps the unused branch's slope finite at 0.
    power = 1.055 * tf.pow(tf.maximum(light, 1e-8), 1.0 / 2.4) - 0.055
    return tf.where(light <= 0.0031308, 12.92 * light, power)


def add_sensor_noise(seed, image, realism: Realism):
    """Poissonian-Gaussian noise (Foi et al., 2008) in linear light, its Gaussian approximation:

        y = x + n * sqrt(shot_noise * x + read_noise^2),    n ~ N(0, 1)

    independent for every pixel and channel, clipped to [0, 1]; a pure function of `seed`,
    int32 [2]. `image` is sRGB in [0, 1]; so is the result. The identity where both are 0.
    """
    if realism.shot_noise == 0.0 and realism.read_noise == 0.0:
        return image
    light = srgb_to_linear(image)
    deviation = tf.sqrt(realism.shot_noise * light + realism.read_noise**2)
    noise = tf.random.stateless_normal(tf.shape(image), seed)
    return linear_to_srgb(tf.clip_by_value(light + noise * deviation, 0.0, 1.0))

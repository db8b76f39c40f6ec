"""What a camera and a file do to a picture, for synthetic images, which are too clean without it.

Pure functions of a `seed`, int32 [2]; images [H, W, 3] float32 in [0, 1]; sizes stay.
"""

import tensorflow as tf

from data_gen import pipeline
from data_gen.io.pixels import DISPLAY_GAMMA

# One stream of random numbers per purpose.
EXPOSURE, NOISE, JPEG = range(3)
JPEG_QUALITY_MAX = 95


def degrade(seed, image, exposure: float, noise: float, jpeg_quality: int):
    """Exposure, noise and JPEG, each in half of the images; see `DataConfig` for the amounts."""
    if exposure:
        stops = _amount(pipeline.fold(seed, EXPOSURE), -exposure, exposure)
        # A stop doubles the light, not the stored value.
        image = tf.clip_by_value(image * tf.pow(2.0, stops / DISPLAY_GAMMA), 0.0, 1.0)
    if noise:
        key = pipeline.fold(seed, NOISE)
        deviation = _amount(key, 0.0, noise)
        grain = tf.random.stateless_normal(tf.shape(image), pipeline.fold(key, 1))
        image = tf.clip_by_value(image + deviation * grain, 0.0, 1.0)
    if jpeg_quality < 100:
        image = _as_jpeg(pipeline.fold(seed, JPEG), image, jpeg_quality)
    return image


def _amount(seed, low, high):
    """Uniform between the bounds in half of the cases, 0 in the others."""
    draws = tf.random.stateless_uniform([2], seed)
    return tf.where(draws[0] < 0.5, low + (high - low) * draws[1], 0.0)


def _as_jpeg(seed, image, quality_min):
    draws = tf.random.stateless_uniform([2], seed)
    span = max(JPEG_QUALITY_MAX - quality_min, 0) + 1
    quality = quality_min + tf.cast(draws[1] * span, tf.int32)
    stored = tf.cond(
        draws[0] < 0.5, lambda: tf.image.adjust_jpeg_quality(image, quality), lambda: image
    )
    return tf.ensure_shape(stored, image.shape)

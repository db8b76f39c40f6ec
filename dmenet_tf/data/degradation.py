"""What a camera and a file do to a picture, for synthetic images, which are too clean without it.

Pure functions of a `seed`, int32 [2]; images [H, W, 3] float32 in [0, 1]; sizes stay.
"""

from typing import NamedTuple

import tensorflow as tf

from data_gen import pipeline
from data_gen.io.pixels import DISPLAY_GAMMA
from dmenet_tf.data.jpeg import as_jpegs

# One stream of random numbers per purpose.
EXPOSURE, NOISE, JPEG = range(3)
JPEG_QUALITY_MAX = 95


class Amounts(NamedTuple):
    """Of what is done to an image, or, with a first axis [N] more, to each of a batch."""

    stops: tf.Tensor  # float32, 0: none
    deviation: tf.Tensor  # float32 of noise, of full scale, 0: none
    grain: tf.Tensor  # int32 [2], seed of the noise
    quality: tf.Tensor  # int32 of JPEG, UNSTORED: not stored as one


UNSTORED = 100


def drawn(seed, exposure: float, noise: float, jpeg_quality: int) -> Amounts:
    """Each 0 in half of the cases; see `DataConfig` for the largest ones."""
    key = pipeline.fold(seed, NOISE)
    return Amounts(
        _amount(pipeline.fold(seed, EXPOSURE), -exposure, exposure),
        _amount(key, 0.0, noise),
        pipeline.fold(key, 1),
        _quality(pipeline.fold(seed, JPEG), jpeg_quality),
    )


def degrade(seed, image, exposure: float, noise: float, jpeg_quality: int):
    """Exposure, noise and JPEG, each in half of the images; see `DataConfig` for the amounts."""
    amounts = drawn(seed, exposure, noise, jpeg_quality)
    if exposure:
        image = _exposed(image, amounts.stops)
    if noise:
        grain = tf.random.stateless_normal(tf.shape(image), amounts.grain)
        image = tf.clip_by_value(image + amounts.deviation * grain, 0.0, 1.0)
    if jpeg_quality < UNSTORED:
        stored = tf.cond(
            amounts.quality < UNSTORED,
            lambda: tf.image.adjust_jpeg_quality(image, amounts.quality),
            lambda: image,
        )
        image = tf.ensure_shape(stored, image.shape)
    return image


def degrade_batch(amounts: Amounts, images, exposure: float, noise: float, jpeg_quality: int):
    """`degrade` of [N, H, W, 3] by amounts of each, with operations that a GPU has.

    The grain is that of the first image's seed for all together, and JPEG is `jpeg.as_jpegs`.
    """
    stops, deviation = (tf.reshape(x, [-1, 1, 1, 1]) for x in (amounts.stops, amounts.deviation))
    if exposure:
        images = _exposed(images, stops)
    if noise:
        grain = tf.random.stateless_normal(tf.shape(images), amounts.grain[0])
        images = tf.clip_by_value(images + deviation * grain, 0.0, 1.0)
    if jpeg_quality < UNSTORED:
        stored = as_jpegs(images, amounts.quality)
        images = tf.where(tf.reshape(amounts.quality < UNSTORED, [-1, 1, 1, 1]), stored, images)
    return images


def _exposed(image, stops):
    # A stop doubles the light, not the stored value.
    return tf.clip_by_value(image * tf.pow(2.0, stops / DISPLAY_GAMMA), 0.0, 1.0)


def _amount(seed, low, high):
    """Uniform between the bounds in half of the cases, 0 in the others."""
    draws = tf.random.stateless_uniform([2], seed)
    return tf.where(draws[0] < 0.5, low + (high - low) * draws[1], 0.0)


def _quality(seed, least: int):
    """Drawn from `least` on in half of the cases, UNSTORED in the others."""
    draws = tf.random.stateless_uniform([2], seed)
    span = max(JPEG_QUALITY_MAX - least, 0) + 1
    return tf.where(draws[0] < 0.5, least + tf.cast(draws[1] * span, tf.int32), UNSTORED)

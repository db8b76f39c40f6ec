"""JPEG without a file, beside libjpeg's."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_gen.scenes.composition import make_scene
from dmenet_tf.data.jpeg import as_jpegs

QUALITIES = [20, 50, 75, 95]


@pytest.fixture(scope="module")
def images():
    """Procedural scenes with a grain, [N, 96, 112, 3] uint8."""
    rng = np.random.default_rng(0)
    scenes = np.stack([make_scene(0, i, 96, 112)[0] for i in range(len(QUALITIES))])
    return np.clip(scenes + rng.normal(0, 4, scenes.shape), 0, 255).astype(np.uint8)


def by_libjpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)).astype(np.float32)


def test_what_is_lost_is_what_libjpeg_loses(images):
    ours = 255 * as_jpegs(tf.constant(images / np.float32(255)), tf.constant(QUALITIES)).numpy()
    for image, quality, own in zip(images, QUALITIES, ours, strict=True):
        theirs = by_libjpeg(image, quality)
        lost = np.abs(theirs - image).mean()
        assert np.abs(own - image).mean() == pytest.approx(lost, rel=0.03)
        # libjpeg rounds colours before its transform, and after it: a level. Besides, the rounding
        # of a wave halfway between two steps goes either way: a small part of what is lost.
        assert np.abs(own - theirs).mean() < 0.15 * lost + 1
        by_another = [by_libjpeg(image, q) for q in QUALITIES if q != quality]
        nearest = min(np.abs(own - other).mean() for other in by_another)
        assert np.abs(own - theirs).mean() < 0.5 * nearest


def test_grey_stays_grey_and_flat_stays_flat():
    grey = np.repeat(np.linspace(0, 1, 32, dtype=np.float32)[:, None, None], 3, -1)
    grey = np.broadcast_to(grey, (32, 32, 3))
    stored = as_jpegs(tf.constant(grey[None]), tf.constant([40]))[0]
    np.testing.assert_array_equal(stored[..., 0], stored[..., 1])
    np.testing.assert_array_equal(stored[..., 0], stored[..., 2])
    flat = tf.fill([1, 16, 16, 3], 128 / 255)
    np.testing.assert_array_equal(as_jpegs(flat, tf.constant([75])), flat)


def test_sides_must_hold_whole_blocks():
    with pytest.raises(ValueError, match="multiples of 16; received 24 x 32"):
        as_jpegs(tf.zeros([1, 24, 32, 3]), tf.constant([50]))

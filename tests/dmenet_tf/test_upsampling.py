"""Maps of reduced photos at full size: borders, ripples, strips."""

import numpy as np
import pytest

from dmenet_tf.prediction.upsampling import (
    SMOOTHING_EPSILON,
    smoothing_radius,
    upsample_guided,
)
from tests.support.pictures import photo

RNG = np.random.default_rng(0)


def test_the_border_of_an_enlarged_map_follows_the_photo():
    """A step in the map where the photo has an edge, at a place that the reduction blurs."""
    height, width, edge, factor = 128, 192, 101, 8
    guide = np.full((height, width, 3), 200, np.uint8)
    guide[:, edge:] = 40
    truth = np.zeros((height, width), np.float32)
    truth[:, edge:] = 5.0

    def reduced(array):
        blocks = array.reshape(height // factor, factor, width // factor, factor, -1)
        return blocks.mean(axis=(1, 3))

    small, small_guide = reduced(truth)[..., 0].astype(np.float32), np.uint8(reduced(guide))
    guided = upsample_guided(small, small_guide, guide)
    flat = upsample_guided(small, np.full_like(small_guide, 128), np.full_like(guide, 128))
    assert guided.shape == truth.shape and guided.dtype == np.float32
    errors = [np.abs(result - truth).mean() for result in (guided, flat)]
    assert errors[0] < 0.3 * errors[1], errors
    assert guided.min() >= 0 and guided.max() <= 5  # no overshoot
    # A constant map stays constant, whatever the photo shows.
    constant = np.full(small.shape, 2.5, np.float32)
    noise = photo(height, width)
    result = upsample_guided(constant, np.uint8(reduced(noise)), noise)
    np.testing.assert_allclose(result, 2.5, atol=1e-5)


def test_a_border_may_be_one_of_colour_alone():
    guide = np.full((64, 128, 3), (90, 110, 60), np.uint8)
    guide[:, 64:] = (150, 80, 60)  # red for green: about the same brightness
    small, small_guide = np.zeros((8, 16), np.float32), guide[::8, ::8].copy()
    small[:, 8:] = 5.0
    small[:, 8] = 2.5  # the border of the map, spread over a pixel
    enlarged = upsample_guided(small, small_guide, guide, 3, 1e-3)
    flat = upsample_guided(small, np.full_like(small_guide, 90), np.full_like(guide, 90), 3, 1e-3)
    steps = [np.diff(result, axis=1)[:, 63].mean() for result in (enlarged, flat)]
    assert steps[0] > 2 and steps[0] > 4 * steps[1], steps


def test_a_large_window_takes_out_what_the_photo_does_not_explain():
    guide, small = np.full((128, 192, 3), 120, np.uint8), np.full((64, 96), 3.0, np.float32)
    rippled = small + RNG.normal(0, 0.5, small.shape).astype(np.float32)
    small_guide = guide[::2, ::2].copy()
    radius = smoothing_radius(rippled)
    assert radius == 6
    smooth = upsample_guided(rippled, small_guide, guide, radius, SMOOTHING_EPSILON)
    # The mean of a window of 13 x 13 independent values, twice; the edges count fewer.
    assert smooth.std() < 3 * 0.5 / 13 and smooth.mean() == pytest.approx(3, abs=0.05)


def test_enlarging_goes_strip_by_strip_without_a_seam(monkeypatch):
    small, guide = RNG.random((12, 9), np.float32), photo(96, 72)
    small_guide = guide[::8, ::8].copy()
    whole = upsample_guided(small, small_guide, guide)
    monkeypatch.setattr("dmenet_tf.prediction.upsampling._STRIP_ROWS", 7)
    np.testing.assert_allclose(upsample_guided(small, small_guide, guide), whole, atol=1e-6)
    deep = [image.astype(np.uint16) * 257 for image in (small_guide, guide)]
    np.testing.assert_allclose(upsample_guided(small, *deep), whole, atol=1e-4)

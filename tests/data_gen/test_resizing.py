"""What is resized as it is read: as `augment` does it, and without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from data_gen import augment
from data_gen.io import resizing

SIZES = [((300, 411), 0.37), ((48, 64), 2.3), ((160, 90), 0.8889), ((7, 3), 80.0), ((1, 5), 1.7)]


@pytest.mark.parametrize("size, scale", SIZES)
@pytest.mark.parametrize("values", ["kept", "scaled"])
def test_images_and_maps_are_those_of_augment(size, scale, values):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    plane = rng.random(size, np.float32)
    theirs = augment.resize_with_map(image, plane[..., None], scale, values=values)
    resized, resized_plane = resizing.resize_with_map(image, plane, scale, values)
    np.testing.assert_array_equal(resized_plane, theirs[1].numpy()[..., 0])
    assert resized.dtype == np.uint8 and resized_plane.dtype == np.float32
    # Half a level from rounding; and TensorFlow's places are float32: up to 560 px, in either
    # direction, times 2^-24, where a level of 255 may follow one of 0.
    np.testing.assert_allclose(resized, theirs[0].numpy(), atol=0.5 + 2 * 560 * 2**-24 * 255)


def test_the_scale_is_that_of_augment():
    for height in range(1, 2000, 13):
        for crop in (240, 1000):
            expected = augment.fit_scale(height, height + 3, crop).numpy()
            assert resizing.fit_scale(height, height + 3, crop) == expected


def test_reading_does_not_load_tensorflow():
    read = """
import sys
import numpy as np
from data_gen.sources.base import Cached, Resized

class Photos:
    def read(self, i):
        return np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.float32)

image, plane = Cached(Resized(Photos(), 40), 1).read(0)
assert image.shape == (40, 60, 3) and plane.shape == (40, 60)
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", read], check=True)

"""Integers and floats, display values and light."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_gen.io import pixels


def test_by_hand():
    assert pixels.as_float(np.array([0, 51, 255], np.uint8)).tolist() == [0, np.float32(0.2), 1]
    assert pixels.as_float(np.array([0, 65535], np.uint16)).tolist() == [0, 1]
    assert pixels.to_uint8(np.array([0, 255, 256, 65535], np.uint16)).tolist() == [0, 0, 1, 255]
    assert pixels.to_uint8(np.array([-0.1, 0.2, 0.999, 1.5])).tolist() == [0, 51, 255, 255]
    # 0.5^2.2 = 0.2176
    assert pixels.to_linear(np.float32(0.5)) == pytest.approx(0.21764, abs=1e-5)


@given(arrays(np.uint8, 6))
def test_eight_bits_survive(image):
    np.testing.assert_array_equal(pixels.to_uint8(pixels.as_float(image)), image)
    assert pixels.to_uint8(image) is image


@given(arrays(np.float32, 6, elements=st.floats(0, 1, width=32)))
def test_light_comes_back(image):
    # The 2.2th root of what float32 lost: a relative 2^-23 of the light, for numbers that are not
    # so small that their light is 0.
    back = pixels.to_display(pixels.to_linear(image))
    np.testing.assert_allclose(back, image, rtol=1e-5, atol=1e-16)
    assert pixels.as_float(image) is image

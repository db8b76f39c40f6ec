"""sRGB and linear light, blending in it, and sensor noise."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen.rendering import compositing, light
from data_gen.rendering.lens import Lens
from data_gen.rendering.options import PLAIN, Realism


def test_srgb_of_known_values_and_round_trip():
    # IEC 61966-2-1: code 0.5 is 0.2140 of the light; the linear part is code / 12.92.
    linear = light.srgb_to_linear(tf.constant([0.0, 0.04, 0.5, 1.0])).numpy()
    np.testing.assert_allclose(linear, [0, 0.04 / 12.92, 0.21404, 1], atol=1e-5)
    code = tf.linspace(0.0, 1.0, 101)
    back = light.linear_to_srgb(light.srgb_to_linear(code))
    np.testing.assert_allclose(back, code, atol=1e-5)


def test_linear_light_makes_the_middle_of_an_edge_brighter():
    image = np.zeros((40, 64, 3), np.float32)
    image[:, 32:] = 1
    depth = np.full((40, 64), 2.0, np.float32)
    lens = Lens(1.0, 32.0)  # coc = 32*(2 - 1)/2 = 16 px, sigma 4 px
    plain, _ = compositing.render(image, depth, lens)
    in_light, _ = compositing.render(image, depth, lens, realism=Realism(linear_light=True))
    edge = np.mean(plain[20, 31:33], 0), np.mean(in_light[20, 31:33], 0)
    # Half of the light is sRGB code 0.735.
    np.testing.assert_allclose(edge[0], 0.5, atol=1e-3)
    np.testing.assert_allclose(edge[1], 0.735, atol=2e-3)


def test_sensor_noise_has_the_stated_variance_and_is_a_function_of_its_seed():
    realism = Realism(shot_noise=0.004, read_noise=0.01)
    image = tf.fill([200, 200, 3], float(light.linear_to_srgb(tf.constant(0.25))))
    noisy = light.add_sensor_noise(tf.constant([1, 2]), image, realism)
    measured = np.var(light.srgb_to_linear(noisy).numpy())
    assert measured == pytest.approx(0.004 * 0.25 + 0.01**2, rel=0.03)
    again = light.add_sensor_noise(tf.constant([1, 2]), image, realism)
    other = light.add_sensor_noise(tf.constant([1, 3]), image, realism)
    assert np.array_equal(noisy, again) and not np.array_equal(noisy, other)
    assert light.add_sensor_noise(tf.constant([1, 2]), image, PLAIN) is image

"""Exposure, noise and JPEG on synthetic images: amounts, shares, and the same for the same seed."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.data.degradation import degrade

GREY = tf.fill([32, 32, 3], 0.5)
RAMP = tf.tile(tf.linspace(0.0, 1.0, 32)[:, None, None], [1, 32, 3])
SEEDS = [tf.constant([7, i], tf.int32) for i in range(64)]
# Of 64 fair coins, fewer than 16 or more than 48 heads come up once in 20,000 trials; seeds are
# fixed besides.
HALF = range(16, 49)


def test_nothing_is_done_unless_asked_for():
    for seed in SEEDS[:4]:
        np.testing.assert_array_equal(degrade(seed, RAMP, 0.0, 0.0, 100), RAMP)


def test_exposure_scales_light_in_half_of_the_images():
    factors = [float(degrade(seed, GREY, 1.0, 0.0, 100)[0, 0, 0]) / 0.5 for seed in SEEDS]
    assert sum(factor != 1 for factor in factors) in HALF
    # One stop either way is a factor of two in light, 2^(1/2.2) = 1.37 in code.
    assert 1 / 1.38 < min(factors) < 0.85 and 1.15 < max(factors) < 1.38


def test_noise_has_the_deviation_asked_for():
    deviations = [float(np.std(degrade(seed, GREY, 0.0, 0.1, 100))) for seed in SEEDS]
    assert sum(deviation > 0 for deviation in deviations) in HALF
    # The deviation of 3,072 samples is known to 1.3 %: 4 sigma above the bound at most.
    assert 0.07 < max(deviations) < 0.1 * 1.06


def test_jpeg_touches_half_of_the_images_by_little():
    errors = [float(np.abs(degrade(seed, RAMP, 0.0, 0.0, 60) - RAMP).mean()) for seed in SEEDS]
    assert sum(error > 0 for error in errors) in HALF
    assert max(errors) < 0.02


@pytest.mark.parametrize("graph", [False, True])
def test_a_pure_function_of_the_seed(graph):
    def both(seed):
        return degrade(seed, RAMP, 0.5, 0.05, 70)

    run = tf.function(both) if graph else both
    left, right, other = run(SEEDS[0]), both(SEEDS[0]), both(SEEDS[1])
    np.testing.assert_allclose(left, right, atol=1e-6)
    assert left.shape == RAMP.shape and np.abs(left - other).max() > 0
    assert float(tf.reduce_min(left)) >= 0 and float(tf.reduce_max(left)) <= 1

"""The learning rate over the steps, against values worked out by hand."""

import numpy as np
import pytest

from dmenet_tf.training.schedules import LearningRate


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_steps_of_the_paper():
    schedule = LearningRate(1e-3, "step", 100, decay_steps=10, decay=0.5)
    np.testing.assert_allclose(
        rates(schedule, (0, 9, 10, 20)), [1e-3, 1e-3, 5e-4, 2.5e-4], rtol=1e-6
    )


def test_cosine_falls_to_nothing():
    schedule = LearningRate(1e-3, "cosine", 100, decay_steps=10, decay=0.5)
    # (1 + cos 0) / 2 = 1, (1 + cos 60 deg) / 2 = 3/4, (1 + cos 90 deg) / 2 = 1/2, then 0.
    expected = [1e-3, 7.5e-4, 5e-4, 0, 0]
    np.testing.assert_allclose(
        rates(schedule, (0, 100 / 3, 50, 100, 120)), expected, rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("name", ["step", "cosine"])
def test_warm_up_rises_in_equal_steps(name):
    plain = LearningRate(1e-3, name, 1000, decay_steps=500, decay=0.5)
    warm = LearningRate(1e-3, name, 1000, decay_steps=500, decay=0.5, warmup_steps=4)
    share = np.array(rates(warm, range(6))) / rates(plain, range(6))
    np.testing.assert_allclose(share, [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-5)
    assert LearningRate(**warm.get_config()).get_config() == warm.get_config()

"""The average of B's weights and the second set of moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks.layers import BatchNorm, moving_statistics_into
from dmenet_tf.weights.averages import Average, Statistics


@pytest.fixture
def model():
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="conv")(image)
    return keras.Model(image, BatchNorm(name="bn")(x))


def test_the_average_by_hand(model):
    average = Average(model, decay=0.5)
    kernel = model.get_layer("conv").kernel
    kernel.assign(tf.fill(kernel.shape, 3.0))
    # Step 0: decay min(0.5, 1/10): 1 + (3 - 1) * 0.9 = 2.8.
    average.follow(tf.constant(0))
    # Step 100: decay min(0.5, 101/110) = 0.5: 2.8 + (3 - 2.8) / 2 = 2.9.
    average.follow(tf.constant(100))
    with average.in_force():
        assert float(tf.squeeze(kernel)) == pytest.approx(2.9)
    assert float(tf.squeeze(kernel)) == 3.0
    average.put_into_model()
    assert float(tf.squeeze(kernel)) == pytest.approx(2.9)


def test_the_average_of_what_is_trained_and_of_moving_statistics(model):
    model.get_layer("conv").trainable = False
    statistics = Statistics(model)
    average = Average(model, 0.9, statistics)
    # Offset, two moving statistics of the model and two beside it; neither kernel nor bias.
    assert len(average.values) == 5


def test_statistics_of_another_domain_follow_it_and_come_into_force(model):
    statistics = Statistics(model)
    bright, dark = tf.fill([1, 2, 2, 1], 10.0), tf.zeros([1, 2, 2, 1])
    for _ in range(300):
        model(dark, training=True)
        with moving_statistics_into(statistics.followers()):
            model(bright, training=True)
    layer = model.get_layer("bn")
    # 0.9^300 of the start is left: nothing.
    assert float(layer.moving_mean[0]) == pytest.approx(0, abs=1e-6)
    assert float(statistics.means[0][0]) == pytest.approx(10, rel=1e-5)
    with statistics.in_force():
        # The mean is 10 within 1e-5 of float32, and a deviation of sqrt(1e-5) magnifies that.
        np.testing.assert_allclose(model(bright), 0, atol=1e-2)
    assert abs(float(model(bright)[0, 0, 0, 0])) > 100  # 10 / sqrt(1e-5)


def test_what_is_swapped_comes_back_after_an_error(model):
    average = Average(model, 0.9)
    kernel = model.get_layer("conv").kernel
    kernel.assign(tf.fill(kernel.shape, 3.0))
    with pytest.raises(RuntimeError), average.in_force():
        raise RuntimeError
    assert float(tf.squeeze(kernel)) == 3.0

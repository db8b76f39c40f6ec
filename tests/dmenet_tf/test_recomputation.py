"""Gradient checkpointing: the losses, gradients and moving statistics of a plain step."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.blur_estimation import parts
from dmenet_tf.training import domains
from dmenet_tf.training.recomputation import recomputed_parts
from tests.support.precision import settings_restored
from tests.support.training import TRAINING, make_batch, make_trainer

restored = pytest.fixture(autouse=True)(settings_restored)


def gradients(model, of_b, batch):
    """Of the sum of all outputs, and the moving statistics after; two domains of their own."""
    images = {name: batch[name] for name in ("synthetic", "labelled")}
    followers = {"synthetic": None, "labelled": {}}
    names = set(images)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            outputs = domains.estimate(of_b, images, followers, names, names)
            total = tf.add_n([tf.reduce_sum(x) for x in tf.nest.flatten(outputs)])
        return total, tape.gradient(total, model.trainable_variables)

    total, found = step()
    moving = [v.numpy() for v in model.non_trainable_variables]
    return [np.asarray(x) for x in (total, *found, *moving)]


def test_values_gradients_and_statistics_are_those_of_a_plain_pass():
    tf.keras.utils.set_random_seed(0)
    model = build_blur_estimation(0.0625)
    start, batch = model.get_weights(), make_batch()
    plain = gradients(model, parts(model), batch)
    model.set_weights(start)
    ours = gradients(model, recomputed_parts(model), batch)
    for left, right in zip(plain, ours, strict=True):
        # The same kernels on the same numbers; float32's rounding where sums are split otherwise.
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-5 * np.abs(left).max() + 1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_step_trains_as_a_plain_one(precision):
    training = replace(TRAINING, precision=precision)
    plain = make_trainer(training=training)
    ours = make_trainer(training=replace(training, recompute=True))
    for seed in range(2):
        batch = make_batch(seed)
        expected, report = plain.train_step(batch), ours.train_step(batch)
        assert expected.keys() == report.keys()
        for name, value in expected.items():
            tolerance = 1e-4 if precision == "float32" else 0.05
            assert float(report[name]) == pytest.approx(float(value), rel=tolerance, abs=1e-6)

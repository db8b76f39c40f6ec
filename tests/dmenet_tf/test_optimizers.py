"""Updates of both networks: both are made, or none."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.config import TrainingConfig
from dmenet_tf.training.optimizers import Updates, build_optimizer

INFINITE = float("inf")


class Pair:
    """Two networks of one weight each, and a step with given gradients."""

    def __init__(self, precision="mixed_float16", adversary=True):
        training = TrainingConfig(precision=precision, learning_rate=0.1)
        self.weights = {"B": tf.Variable(1.0), "D": tf.Variable(2.0)}
        self.optimizers = {n: build_optimizer(training, 10, [v]) for n, v in self.weights.items()}
        self.updates = Updates(self.optimizers["B"], self.optimizers["D"] if adversary else None)
        self.adversary = adversary
        self.step = tf.function(self._step, autograph=False)

    def _step(self, of_b, of_d):
        made = None
        if self.adversary:
            made = self.updates.discriminator([of_d], [self.weights["D"]])
        seen = self.weights["D"].read_value()
        self.updates.generator([of_b], [self.weights["B"]], made)
        return seen

    def __call__(self, of_b, of_d):
        """A step with these gradients, times the loss scale; returns D as B sees it."""
        scales = [scale or 1.0 for scale in self.scales()]
        gradients = [value * scale for value, scale in zip((of_b, of_d), scales, strict=True)]
        return float(self.step(*map(tf.constant, gradients)))

    def state(self):
        """Weights and what Adam remembers, of both."""
        values = [float(v) for v in self.weights.values()]
        for optimizer in self.optimizers.values():
            values += [np.array(v) for v in keras_versions.state_of_scaled(optimizer)]
        return [np.copy(v) for v in values]

    def scales(self):
        scales = map(keras_versions.loss_scale, self.optimizers.values())
        return [None if scale is None else float(scale) for scale in scales]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_finite_gradients_update_both():
    pair = Pair()
    # B sees the D that has learned: 2 - 0.1, Adam's first step being the learning rate.
    assert pair(3.0, 4.0) == pytest.approx(1.9, rel=1e-4)
    assert float(pair.weights["B"]) == pytest.approx(0.9, rel=1e-4)
    assert int(pair.updates.skipped) == 0


@pytest.mark.parametrize("bad", [INFINITE, float("nan")])
@pytest.mark.parametrize("which", ["B", "D", "BD"])
def test_an_overflow_of_one_leaves_out_both(which, bad):
    pair = Pair()
    pair(3.0, 4.0)
    before, scales = pair.state(), pair.scales()
    pair(bad if "B" in which else 3.0, bad if "D" in which else 4.0)
    assert same(pair.state(), before)
    assert int(pair.updates.skipped) == 1
    # The scale that was too large is halved; L_g after an overflow of D is not judged.
    lowered = [1.0 if which != "B" else 0.5, 0.5 if "D" in which else 1.0]
    assert pair.scales() == [scale * factor for scale, factor in zip(scales, lowered, strict=True)]
    pair(3.0, 4.0)
    assert not same(pair.state(), before) and int(pair.updates.skipped) == 1


def test_without_d():
    pair = Pair(adversary=False)
    pair(INFINITE, 0.0)
    assert float(pair.weights["B"]) == 1.0 and int(pair.updates.skipped) == 1


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_other_types_have_no_scale_and_skip_nothing(precision):
    pair = Pair(precision)
    pair(3.0, 4.0)
    assert pair.updates.skipped is None
    assert float(pair.weights["B"]) == pytest.approx(0.9, rel=1e-4)

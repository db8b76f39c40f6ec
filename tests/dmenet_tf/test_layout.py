"""The names in checkpoints, and those of earlier versions, which held Keras's own objects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.networks import build_monotone_calibration, build_sharpness_calibration
from dmenet_tf.weights import layout

KERAS_3_ONLY = pytest.mark.skipif(
    not keras_versions.IS_KERAS_3, reason="Keras 2 never wrote checkpoints of objects"
)


class Learner:
    """S and an optimizer that has updated it once; `seed` settles its numbers."""

    def __init__(self, seed, scaled=False, build=build_sharpness_calibration):
        keras.utils.set_random_seed(seed)
        self.model = build(0.0625)
        self.variables = self.model.trainable_variables
        self.optimizer = keras_versions.optimizer("adam", 0.1 * seed, 0.9)
        if scaled:
            self.optimizer = keras_versions.loss_scaled(self.optimizer)
        keras_versions.build(self.optimizer, self.variables)
        gradients = [tf.fill(v.shape, 1.0 + i) for i, v in enumerate(self.variables)]
        keras_versions.apply(self.optimizer, gradients, self.variables)
        self.network = layout.of_network(self.model)
        self.state = keras_versions.state(self.optimizer, self.variables)

    def named(self):
        return tf.train.Checkpoint(sharpness=self.network, generator_optimizer=self.state)

    def objects(self):
        """As earlier versions saved it."""
        return tf.train.Checkpoint(sharpness=self.model, generator_optimizer=self.optimizer)

    def values(self):
        return [np.array(v) for v in tf.nest.flatten([self.network, self.state])]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left.values(), right.values(), strict=True))


def test_names_are_those_of_layers_and_variables(tmp_path):
    learner = Learner(1)
    path = learner.named().write(str(tmp_path / "it"))
    assert not layout.holds_objects(path)
    names = {n.split("/.ATTR")[0]: shape for n, shape in tf.train.list_variables(path)}
    assert names["sharpness/stage1_conv1/kernel"] == [1, 1, 1, 4]
    assert names["sharpness/stage3_bn2/moving_mean"] == [4]
    assert names["generator_optimizer/iterations"] == []
    assert names["generator_optimizer/velocity/0"] == [1, 1, 1, 4]
    count = len(learner.variables)
    assert len([n for n in names if n.startswith("generator_optimizer/momentum/")]) == count
    assert len([n for n in names if n.startswith("sharpness/")]) == len(learner.model.weights)


@pytest.mark.parametrize("scaled", [False, True])
def test_all_comes_back(tmp_path, scaled):
    saved, other = Learner(1, scaled), Learner(2, scaled)
    path = saved.named().write(str(tmp_path / "it"))
    assert not same(saved, other)
    other.named().read(path).assert_existing_objects_matched()
    assert same(saved, other)


@KERAS_3_ONLY
@pytest.mark.parametrize("scaled", [False, True])
def test_checkpoints_of_objects_are_read(tmp_path, scaled):
    saved, other = Learner(1, scaled), Learner(2, scaled)
    path = saved.objects().write(str(tmp_path / "it"))
    assert layout.holds_objects(path)
    models, states = {"sharpness": other.model}, {"generator_optimizer": other.state}
    layout.restore_objects(path, models, states)
    assert same(saved, other)
    # A network alone, as for predicting.
    third = Learner(3)
    layout.restore_objects(path, {"sharpness": third.model}, {})
    for a, b in zip(third.model.get_weights(), saved.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@KERAS_3_ONLY
def test_objects_of_another_network_change_nothing(tmp_path):
    path = Learner(1).objects().write(str(tmp_path / "it"))
    other = Learner(2, build=build_monotone_calibration)
    before = other.values()
    for name in ("sharpness", "discriminator"):
        with pytest.raises(ValueError, match="must be in it, of shape"):
            layout.restore_objects(path, {name: other.model}, {})
    with pytest.raises(ValueError, match="must be in it, of shape"):
        layout.restore_objects(path, {}, {"generator_optimizer": other.state})
    for a, b in zip(other.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_kept_beside_the_weights():
    assert layout.of_kept() == {}

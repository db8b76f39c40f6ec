"""Several domains in one batch: what each of them passing by itself gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import build_blur_estimation, build_domain_discriminator
from dmenet_tf.networks.blur_estimation import parts
from dmenet_tf.networks.layers import BatchNorm, Group, batch_of_groups
from dmenet_tf.training import domains
from dmenet_tf.weights.averages import Statistics
from tests.support.training import make_batch

pytestmark = pytest.mark.process  # it trains

NAMES = ("synthetic", "labelled", "unlabelled")


def noise(*shape, seed=0, mean=0.0, deviation=1.0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(mean, deviation, shape), tf.float32)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 1, 2), (4,)])
def test_batch_normalisation_takes_each_group_for_a_batch(sizes):
    # Groups of very different strength, which one batch of them all would not normalise.
    parts = [
        noise(n, 3, 5, 4, seed=i, mean=10.0 * i, deviation=1.0 + i) for i, n in enumerate(sizes)
    ]
    apart, together = BatchNorm(name="bn"), BatchNorm(name="bn")
    expected = [apart(part, training=True) for part in parts]
    with batch_of_groups([Group(n) for n in sizes]):
        values = together(tf.concat(parts, 0), training=True)
    # The same operation on the same numbers: at most the last bit differs.
    np.testing.assert_allclose(values, tf.concat(expected, 0), rtol=2**-22, atol=2**-22)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(together, name), getattr(apart, name), rtol=2**-22)


def test_what_follows_each_group_is_a_choice():
    layer, values = BatchNorm(name="bn"), noise(6, 4, 4, 3, seed=1)
    layer(values)
    mean, variance = tf.Variable(tf.zeros(3)), tf.Variable(tf.ones(3))
    groups = [Group(2), Group(2, {"bn": (mean, variance)}), Group(2, {})]
    with batch_of_groups(groups):
        layer(values, training=True)
    batch_mean = tf.reduce_mean(tf.reshape(values, [3, -1, 3]), axis=1)
    # From 0, a tenth of the way to the group's own mean; sums of 32 numbers near 1.
    np.testing.assert_allclose(layer.moving_mean, 0.1 * batch_mean[0], atol=32 * 2**-24)
    np.testing.assert_allclose(mean, 0.1 * batch_mean[1], atol=32 * 2**-24)


def test_groups_are_of_training_alone():
    layer, values = BatchNorm(name="bn"), noise(4, 4, 4, 3)
    with batch_of_groups([Group(2), Group(2)]):
        values_then = layer(values, training=False)
    np.testing.assert_array_equal(values_then, layer(values, training=False))


class Passes:
    """B's outputs, gradients and moving statistics, by one of several ways through it."""

    def __init__(self, batch, way):
        keras.utils.set_random_seed(0)
        model = build_blur_estimation(0.0625)
        other = Statistics(model)
        followers = {"synthetic": None, "labelled": other.followers(), "unlabelled": {}}
        images = {name: batch[name] for name in NAMES}
        maps = {"synthetic", "labelled"}
        with tf.GradientTape() as tape:
            self.outputs = way(parts(model), images, followers, maps, {"synthetic"})
            # Maps of the synthetic and labelled domain, features of all: what the losses see.
            loss = tf.add_n([tf.reduce_mean(o["feature"] ** 2) for o in self.outputs.values()])
            loss += tf.add_n([tf.reduce_mean(self.outputs[n]["defocus"] ** 2) for n in maps])
            loss += tf.reduce_mean(self.outputs["synthetic"]["aux1"] ** 2)
        kernels = [v for v in model.trainable_variables if len(v.shape) == 4]
        self.gradients = [g for g in tape.gradient(loss, kernels) if g is not None]
        self.moving = [*model.non_trainable_variables, *other.means, *other.variances]

    def vectors(self):
        outputs = [self.outputs[n]["feature"] for n in NAMES]
        outputs += [self.outputs[n]["defocus"] for n in NAMES[:2]]
        kinds = {"outputs": outputs, "gradients": self.gradients, "moving": self.moving}
        return {kind: np.concatenate([np.ravel(v) for v in vs]) for kind, vs in kinds.items()}


def by_itself(parts, images, followers, maps, auxiliary_maps):
    """Each domain through all of B alone."""
    estimates = {}
    for name in images:
        alone = domains.estimate(parts, {name: images[name]}, followers, maps, auxiliary_maps)
        estimates |= alone
    return estimates


def reversed_images(parts, images, followers, maps, auxiliary_maps):
    """The same with the images of each domain in the other order: sums round otherwise."""
    turned = {name: tf.reverse(value, [0]) for name, value in images.items()}
    estimates = by_itself(parts, turned, followers, maps, auxiliary_maps)
    return {n: {k: tf.reverse(v, [0]) for k, v in o.items()} for n, o in estimates.items()}


def one_group(parts, images, followers, maps, auxiliary_maps):
    """All domains as one batch to batch normalisation, as if they were one."""
    joined = {"synthetic": tf.concat(list(images.values()), 0)}
    outputs = domains.estimate(parts, joined, followers, maps, auxiliary_maps)["synthetic"]
    divided = {key: tf.split(value, len(images)) for key, value in outputs.items()}
    return {n: {k: v[i] for k, v in divided.items()} for i, n in enumerate(images)}


def difference(a, b):
    b = b.vectors()
    return {k: np.linalg.norm(v - b[k]) / np.linalg.norm(b[k]) for k, v in a.vectors().items()}


def test_b_on_all_domains_is_b_on_each():
    batch = make_batch(n=3)
    expected = Passes(batch, by_itself)
    together = difference(Passes(batch, domains.estimate), expected)
    rounded = difference(Passes(batch, reversed_images), expected)
    mixed = difference(Passes(batch, one_group), expected)
    for kind, rounding in rounded.items():
        assert 0 < rounding < 1e-3, kind
        assert together[kind] < 8 * rounding, kind
        # The bound is one that domains normalised together do not pass.
        assert mixed[kind] > 32 * rounding, kind


@pytest.mark.parametrize("sides", [(32, 32), (32, 48)])
def test_domains_of_other_sizes_pass_one_after_another(sides):
    keras.utils.set_random_seed(0)
    network = build_domain_discriminator(0.0625)
    inputs = {
        name: noise(2, side, side, 4, seed=side) for name, side in zip("ab", sides, strict=True)
    }
    calls = []

    def counted(values):
        calls.append(values.shape[0])
        return network(values, training=True)

    outputs = domains.forward(counted, inputs)
    assert calls == ([4] if sides[0] == sides[1] else [2, 2])
    for name, value in inputs.items():
        # Four layers, each a sum of 16 times some channels, numbers near 1.
        np.testing.assert_allclose(outputs[name], network(value, training=True), atol=1e-4)


def test_what_no_loss_and_no_statistic_needs_is_not_computed():
    keras.utils.set_random_seed(0)
    model, batch = build_blur_estimation(0.0625), make_batch()
    followers = {"synthetic": None, "labelled": {"some": ()}, "unlabelled": {}}
    outputs = domains.estimate(
        parts(model), {n: batch[n] for n in NAMES}, followers, {"synthetic"}, {"synthetic"}
    )
    assert set(outputs["unlabelled"]) == {"feature"}
    assert {"feature", "defocus", "aux0", "aux4"} <= set(outputs["labelled"])

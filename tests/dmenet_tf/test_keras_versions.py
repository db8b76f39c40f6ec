"""The optimizers: which there are on this Keras, what is refused, and what each remembers."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.config import TrainingConfig
from dmenet_tf.training.optimizers import build_optimizer

IS_KERAS_3 = keras_versions.IS_KERAS_3
HAS_ADDONS = importlib.util.find_spec("tensorflow_addons") is not None
RATE = 0.1
# What an update of Adam's kind keeps of each variable.
REMEMBERED = {
    "adam": {"momentum", "velocity"},
    "lamb": {"momentum", "velocity"},
    "radam": {"momentum", "velocity"},
    "lookahead": {"momentum", "velocity", "slow"},
}
HERE = ["adam", "lamb"] if IS_KERAS_3 else list(REMEMBERED) if HAS_ADDONS else ["adam"]


def built(name, variables, **options):
    training = TrainingConfig(optimizer=name, learning_rate=RATE, **options)
    return build_optimizer(training, 10, variables)


def updated(name, gradients, start=2.0, **options):
    """A variable and its optimizer after an update with each of the gradients."""
    variable = tf.Variable([start])
    optimizer = built(name, [variable], **options)

    def step(gradient):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(gradient * variable)
            scaled = keras_versions.scale_loss(optimizer, loss)
        keras_versions.apply(optimizer, tape.gradient(scaled, [variable]), [variable])

    step = tf.function(step, autograph=False)
    for gradient in gradients:
        step(tf.constant([gradient]))
    return variable, optimizer


@pytest.mark.parametrize("name", HERE)
def test_what_it_remembers_has_the_same_names_everywhere(name):
    variable, optimizer = updated(name, [3.0, 3.0])
    state = keras_versions.state(optimizer, [variable])
    assert state.keys() == {"iterations"} | REMEMBERED[name]
    assert int(state["iterations"]) == 2
    # Of a constant gradient of 3: 3 * (1 - 0.9^2) and 9 * (1 - 0.999^2).
    np.testing.assert_allclose(state["momentum"][0], [0.57], rtol=1e-5)
    np.testing.assert_allclose(state["velocity"][0], [0.017991], rtol=1e-4)


def first_steps():
    """Where the weight of 2 is after one step of rate 0.1 with gradient 3."""
    return {
        "adam": 1.9,  # one rate
        "lamb": 1.8,  # the rate times the weight's norm, over that of a step of 1
        "radam": 2 - 0.1 * 3,  # its variance is not to be relied on yet: the gradient itself
        "lookahead": 1.9,  # Adam, until slow weights join in after six
    }


@pytest.mark.parametrize("name", HERE)
def test_its_first_step(name):
    variable, _ = updated(name, [3.0])
    np.testing.assert_allclose(variable, [first_steps()[name]], rtol=1e-5)


@pytest.mark.parametrize("name", HERE)
def test_float16_scales_its_loss(name):
    """Gradients are scaled, and an overflow leaves the update out."""
    variable, optimizer = updated(name, [3.0, float("inf")], precision="mixed_float16")
    np.testing.assert_allclose(variable, [first_steps()[name]], rtol=1e-5)
    state = keras_versions.state(optimizer, [variable])
    assert state.keys() == {"iterations", "loss_scale", "steps_at_scale"} | REMEMBERED[name]
    assert int(state["iterations"]) == 1 and float(state["loss_scale"]) == 2.0**14


@pytest.mark.parametrize("name", HERE)
def test_the_rate_follows_the_schedule(name):
    options = {"schedule": "cosine", "steps": 4}
    _, optimizer = updated(name, [1.0] * 2, **options)
    # Adam of Keras 2 keeps the rate of the last update.
    rates = {0.05} if IS_KERAS_3 else {0.05, RATE * 0.5 * (1 + np.cos(np.pi / 4))}
    rate = keras_versions.learning_rate(optimizer)
    assert any(rate == pytest.approx(r) for r in rates)


@pytest.mark.skipif(not IS_KERAS_3, reason="tensorflow-addons imports beside Keras 2")
@pytest.mark.parametrize("name", ["radam", "lookahead"])
def test_what_keras_3_does_not_have_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"adam or lamb with Keras 3, .*{name}, needs Keras 2"):
        built(name, [tf.Variable(1.0)])


@pytest.mark.skipif(IS_KERAS_3 or HAS_ADDONS, reason="needs Keras 2 without tensorflow-addons")
def test_without_addons_the_extra_is_named():
    with pytest.raises(ValueError, match=r"needs tensorflow-addons, the extra \[addons\]"):
        built("lamb", [tf.Variable(1.0)])


def test_a_second_rate_is_adams():
    variable = tf.Variable(1.0)
    training = TrainingConfig(optimizer="lamb", encoder_rate=0.5)
    with pytest.raises(ValueError, match="encoder_rate .* needs training.optimizer adam"):
        build_optimizer(training, 10, [variable], slowed=[variable])


@pytest.mark.parametrize("jit", [False, True])
def test_the_default_updates_as_kerass_adam_does(jit):
    assert TrainingConfig().optimizer == "adam"
    rng = np.random.default_rng(0)
    # Of a weight of exactly 0, of tiny and of huge gradients.
    strengths = 10.0 ** rng.uniform(-12, 6, 40).astype(np.float32)
    gradients = [strengths * rng.normal(size=40).astype(np.float32) for _ in range(12)]
    start = np.where(np.arange(40) < 2, np.float32(0), strengths)

    def updated_by(make):
        variable = tf.Variable(start)
        optimizer = make([variable])

        @tf.function(jit_compile=jit)
        def step(gradient):
            keras_versions.apply(optimizer, [gradient], [variable])

        for gradient in gradients:
            step(gradient)
        return variable.numpy()

    def of_keras(variables):
        optimizer = keras.optimizers.Adam(RATE, beta_1=TrainingConfig().beta_1)
        optimizer.build(variables)
        return optimizer

    ours, theirs = updated_by(lambda variables: built("adam", variables)), updated_by(of_keras)
    # Keras takes 1 - 0.999 for what float32 says of 0.999: 13 millionths apart.
    largest = RATE * len(gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-5 * largest)
    assert np.abs(ours - start)[:2].min() > 0.01 * largest


@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 updates a variable by many operations")
def test_an_update_by_adam_is_one_operation():
    variables = [tf.Variable([1.0, 2.0]), tf.Variable([[3.0]])]
    optimizer = built("adam", variables)

    @tf.function
    def step():
        keras_versions.apply(optimizer, [tf.ones_like(v) for v in variables], variables)

    types = [op.type for op in step.get_concrete_function().graph.get_operations()]
    assert types.count("ResourceApplyAdam") == 2 and "Sqrt" not in types

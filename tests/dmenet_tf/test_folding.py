"""The folded inference graph against the Keras model that it was made from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import build_blur_estimation, build_sharpness_calibration
from dmenet_tf.networks.folding import fold
from dmenet_tf.weights.published import published_names
from tests.support.authors_graph import recipe
from tests.support.rounding import tolerance

IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32)


def trained_looking(width=0.0625, seed=0):
    """B with batch normalisations whose statistics all matter."""
    keras.utils.set_random_seed(seed)
    model = build_blur_estimation(width)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "moving_variance"):
            size = layer.moving_mean.shape[0]
            layer.beta.assign(rng.normal(0, 0.1, size))
            layer.moving_mean.assign(rng.normal(0, 0.1, size))
            layer.moving_variance.assign(rng.uniform(0.5, 2, size))
        elif hasattr(layer, "kernel"):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    last = model.get_layer("final_conv3")
    last.kernel.assign(last.kernel * 0.1)  # else the sigmoid saturates and hides errors
    return model


@pytest.fixture(scope="module")
def model():
    return trained_looking()


@pytest.fixture(scope="module")
def folded(model):
    return tf.function(fold(model).__call__, input_signature=[IMAGES])


@pytest.fixture(scope="module")
def rounding(model):
    """What two orders of the same sums may differ by, on noise as these tests map."""
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    return tolerance(model, noise, 0.0625)


@pytest.mark.parametrize(
    "size", [(1, 16, 16), (2, 48, 80), (1, 112, 16)], ids=lambda s: "x".join(map(str, s))
)
def test_equals_the_model_everywhere(model, folded, rounding, size):
    images = np.random.default_rng(1).random((*size, 3), np.float32)
    expected = model(images, training=False)["defocus"].numpy()
    actual = folded(tf.constant(images)).numpy()
    assert expected.std() > 0.02
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rounding)


def test_equals_the_published_graph(shared):
    model = build_blur_estimation()
    for name, variable in published_names(model).items():
        variable.assign(recipe(name, variable.shape))
    reference = np.load(shared / "reference" / "authors_graph" / "outputs.npz")
    actual = fold(model)(reference["image"]).numpy()
    assert np.abs(actual - reference["defocus"]).max() < 1e-4 * np.abs(reference["defocus"]).max()
    expected = model(reference["image"], training=False)["defocus"].numpy()
    photo = np.round(reference["image"][0] * 255).astype(np.uint8)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance(model, photo, 1.0))


def test_mixed_precision_model_folds_to_float32(model, rounding):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = build_blur_estimation(0.0625)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(model.get_weights())
    images = np.random.default_rng(2).random((1, 32, 32, 3), np.float32)
    expected = model(images, training=False)["defocus"].numpy()
    np.testing.assert_allclose(fold(mixed)(images).numpy(), expected, rtol=0, atol=rounding)


def test_saved_model_gives_the_same_map(model, folded, tmp_path):
    module = fold(model)
    serve = tf.function(module.__call__, input_signature=[IMAGES])
    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    images = tf.random.stateless_uniform((2, 32, 16, 3), (0, 2))
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](images=images)
    (defocus,) = served.values()
    np.testing.assert_allclose(defocus.numpy(), folded(images).numpy(), rtol=0, atol=1e-6)


def test_one_trace_serves_all_sizes(folded):
    for size in ((1, 16, 32), (3, 32, 16)):
        folded(tf.zeros((*size, 3)))
    assert folded.experimental_get_tracing_count() == 1


def test_graph_holds_nothing_of_training(folded):
    graph = folded.get_concrete_function().graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert not [kind for kind in kinds if "BatchNorm" in kind or "Variable" in kind]
    # Encoder 16; decoder 4 levels, the first of each in two parts; 7 blocks of 3; 3 at the end.
    assert kinds.count("Conv2D") == 16 + (3 + 3 + 3 + 1 + 4) + 7 * 3 + 3
    assert kinds.count("Sigmoid") == 1


def test_is_a_copy_of_the_weights():
    model = trained_looking()
    folded = fold(model)
    images = tf.random.stateless_uniform((1, 16, 16, 3), (0, 1))
    before = folded(images).numpy()
    model.get_layer("final_conv3").bias.assign([5.0])
    np.testing.assert_array_equal(folded(images).numpy(), before)


def test_refuses_other_sizes_and_other_models(model, folded):
    with pytest.raises(ValueError, match="multiples of 16; received 16 x 40"):
        fold(model)(tf.zeros((1, 16, 40, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 16"):
        folded(tf.zeros((1, 16, 40, 3)))
    with pytest.raises(ValueError, match="build_blur_estimation; received sharpness"):
        fold(build_sharpness_calibration(0.25))

"""The folded inference graph against the Keras model that it was made from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.architecture import LEVELS
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


@pytest.mark.parametrize(("precision", "roundoff"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_in_16_bits_a_map_differs_by_what_the_format_rounds(model, precision, roundoff):
    images = np.random.default_rng(1).random((2, 48, 80, 3), np.float32)
    expected = fold(model)(tf.constant(images)).numpy()
    actual = fold(model, precision)(tf.constant(images))
    assert actual.dtype == tf.float32
    # 0.01 is what a convolution folded or padded wrongly changes; rounding changes pixels apart
    # from each other, so their mean is less by far than 40 layers' roundings one on top of another.
    assert 0 < np.abs(actual - expected).mean() < 4 * roundoff


def test_features_beyond_float16_are_no_obstacle_to_it():
    """Features of the encoder as large as VGG19's, and a decoder that takes them in."""
    model, factor = trained_looking(), 1e5
    first = model.get_layer("conv1_1")
    first.kernel.assign(first.kernel * factor)
    for level, skip, _, _ in LEVELS:
        layer = model.get_layer(f"level{level}_conv1")
        kernel, own = np.array(layer.kernel), model.get_layer(skip).bias.shape[0]
        # The deepest level takes the encoder's features alone, the others those of `skip`.
        kernel[:, :, 0 if level == LEVELS[0][0] else -own :] /= factor
        layer.kernel.assign(kernel)
    images = np.random.default_rng(1).random((1, 32, 32, 3), np.float32)
    encoder = keras.Model(model.input, model.get_layer("conv1_2").output)
    assert np.max(encoder(images)) > np.finfo(np.float16).max
    expected = fold(model)(tf.constant(images)).numpy()
    actual = fold(model, "float16")(tf.constant(images)).numpy()
    assert expected.std() > 0.02
    assert np.abs(actual - expected).mean() < 4 * 2.0**-11


def test_refuses_other_precisions(model):
    with pytest.raises(ValueError, match="float16.*received 'float64'"):
        fold(model, "float64")


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

"""Features beyond float16's range: as in float32, but for rounding."""

import keras
import numpy as np
import pytest

from dmenet_tf.networks import build_blur_estimation, build_content_preservation
from dmenet_tf.networks.blur_estimation import encoder_layers, keep_strength, parts
from dmenet_tf.networks.layers import BatchNorm
from tests.support.networks import WIDTH, flat, gradients, random_input


@pytest.fixture(scope="module")
def blur_estimation():
    keras.utils.set_random_seed(1)
    return build_blur_estimation(WIDTH)


def in_float16(builder, model):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = builder(WIDTH)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(model.get_weights())
    return mixed


@pytest.mark.parametrize("strength", [20.0, 2e6])
def test_features_beyond_float16_are_none_in_float16(blur_estimation, strength):
    """Features of so many times 65504, which the batch normalisation behind takes out.

    VGG19's may be as strong as the first, those of random weights become as strong as the second.
    """
    strong = build_blur_estimation(WIDTH)
    strong.set_weights(blur_estimation.get_weights())
    convolutions = encoder_layers(strong)
    factor = (65504.0 * strength) ** (1 / len(convolutions))  # features were about 1 strong
    for layer in convolutions:
        layer.set_weights([layer.kernel * factor, layer.bias + 0.1])
    x = random_input((32, 48), 3)
    last = keras.Model(strong.input, strong.get_layer("conv5_4").output)
    assert np.max(last(x)) > strength * 65504.0
    strong(x, training=True)  # the moving statistics have seen them
    mixed = in_float16(build_blur_estimation, strong)
    for training in (True, False):  # by the batch, which moves the statistics; by these
        expected, ours = (model(x, training=training) for model in (strong, mixed))
        for name, value in expected.items():
            error = np.abs(np.float32(ours[name]) - value)
            assert error.mean() < 0.05 * np.abs(value).mean() + 1e-3, (name, training)
    for layer in strong.layers:
        if isinstance(layer, BatchNorm):
            theirs = mixed.get_layer(layer.name)
            largest = np.abs(layer.moving_mean).max()
            np.testing.assert_allclose(
                theirs.moving_mean, layer.moving_mean, rtol=0.1, atol=1e-2 * max(1, largest)
            )
    own, of_input = gradients(mixed, x)
    assert all(np.isfinite(np.asarray(gradient)).all() for gradient in [*own, of_input])
    exact, _ = gradients(strong, x)
    for variable, ours, theirs in zip(strong.trainable_variables, own, exact, strict=True):
        # Rounding to 11 bits adds up over some forty layers and turns a gradient a little. That of
        # a bias before a batch normalisation is nothing but rounding.
        if variable.name == "kernel":
            cosine = np.sum(ours * theirs) / (np.linalg.norm(ours) * np.linalg.norm(theirs))
            assert cosine > 0.8, variable.path


def test_kept_features_keep_their_scale(blur_estimation):
    """Whatever the batch normalisation behind them sees later."""
    mixed = in_float16(build_blur_estimation, blur_estimation)
    keep_strength(mixed)
    encoder, x = parts(mixed).encoder, random_input((32, 48), 3)
    before = flat(encoder(x))
    for name in ("level4_aux_bn1", "level2_bn1", "level0_bn1"):
        layer = mixed.get_layer(name)
        layer.moving_variance.assign(1e12 * np.ones(layer.moving_variance.shape))
    for expected, ours in zip(before, flat(encoder(x)), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_content_beyond_float16_is_none_in_float16():
    keras.utils.set_random_seed(1)
    strong = build_content_preservation(WIDTH)
    layer = strong.get_layer("conv3_1")
    layer.set_weights([layer.kernel * 1e5, layer.bias])
    x = random_input((33, 47), 1)
    expected = strong(x)
    assert np.max(expected) > 65504.0
    ours = in_float16(build_content_preservation, strong)(x)
    assert np.abs(ours - expected).mean() < 0.05 * np.abs(expected).mean()


def test_a_batch_that_overflows_moves_no_statistics():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = BatchNorm()
        layer.build((None, 4, 4, 2))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    x = np.ones((2, 4, 4, 2), np.float16)
    layer(x, training=True)
    before = [np.array(v) for v in layer.get_weights()]
    x[0, 0, 0] = np.inf
    layer(x, training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

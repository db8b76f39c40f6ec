"""Every network goes through the same trial; then what is particular to each, and the layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import (
    build_blur_estimation,
    build_content_preservation,
    build_domain_discriminator,
    build_monotone_calibration,
    build_sharpness_calibration,
)
from dmenet_tf.networks.layers import BatchNorm, SymmetricPadding2D, scaled
from dmenet_tf.training import losses
from tests.support.networks import WIDTH, flat, gradients, random_input

# builder, input channels, two sizes: odd ones where the network takes them
NETWORKS = {
    "B": (build_blur_estimation, 3, (32, 48), (48, 16)),
    "D": (build_domain_discriminator, 4, (33, 47), (5, 70)),
    "C": (build_content_preservation, 1, (33, 47), (8, 19)),
    "S": (build_sharpness_calibration, 1, (33, 47), (1, 5)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def trial(request):
    """(model, builder, two inputs of different size)."""
    keras.utils.set_random_seed(1)
    builder, channels, *sizes = NETWORKS[request.param]
    return builder(WIDTH), builder, [random_input(size, channels) for size in sizes]


@pytest.fixture(scope="module")
def blur_estimation():
    keras.utils.set_random_seed(1)
    return build_blur_estimation(WIDTH)


# The trial ---------------------------------------------------------------------------------------


def test_sizes_are_free_without_retracing_and_graph_agrees_with_eager(trial):
    model, _, inputs = trial
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, inputs[0].shape[-1]])])
    def graph(x):
        traces.append(x)
        return model(x, training=False)

    for x in inputs:
        for in_graph, eager in zip(flat(graph(x)), flat(model(x)), strict=True):
            assert np.isfinite(eager).all()
            np.testing.assert_allclose(in_graph, eager, rtol=1e-4, atol=1e-5)
    assert len(traces) == 1


def test_gradients_are_finite_and_reach_every_weight(trial):
    model, _, (x, _) = trial
    own, of_input = gradients(model, x)
    for variable, gradient in zip(model.trainable_variables, own, strict=True):
        assert gradient is not None, variable.name
        assert np.isfinite(np.asarray(gradient)).all(), variable.name
    assert np.isfinite(of_input).all()
    assert np.abs(of_input).max() > 0


def test_training_moves_statistics_and_inference_moves_nothing(trial):
    model, _, (x, _) = trial
    before = model.get_weights()
    model(x, training=False)
    np.testing.assert_equal(model.get_weights(), before)
    model(x, training=True)
    for variable, old in zip(model.weights, before, strict=True):
        assert np.array_equal(variable, old) != ("moving" in variable.name), variable.name


def test_weights_and_model_round_trip(trial, tmp_path):
    model, builder, (x, _) = trial
    model.save_weights(tmp_path / "model.weights.h5")
    other = builder(WIDTH)
    other.load_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    whole = keras.models.load_model(tmp_path / "model.keras")
    for expected, a, b in zip(flat(model(x)), flat(other(x)), flat(whole(x)), strict=True):
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(b, expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(trial, policy):
    model, builder, (x, _) = trial
    keras.mixed_precision.set_global_policy(policy)
    try:
        mixed = builder(WIDTH)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(model.get_weights())
    assert all(variable.dtype == "float32" for variable in mixed.variables)
    outputs = {tensor.name: tensor for tensor in tf.nest.flatten(mixed.output)}
    half = [name for name, tensor in outputs.items() if tensor.dtype != "float32"]
    assert len(half) == {"blur_estimation": 1}.get(mixed.name, 0)
    # Statistics in float32 and activations of 8 bits or more: the mean error stays below 5 %.
    for expected, ours in zip(flat(model(x)), flat(mixed(x)), strict=True):
        ours = ours.astype("float32")
        assert np.abs(ours - expected).mean() < 0.05 * np.abs(expected).mean()
    own, of_input = gradients(mixed, x)
    assert all(np.isfinite(np.asarray(gradient)).all() for gradient in [*own, of_input])


# Each network ------------------------------------------------------------------------------------


def test_blur_estimation_outputs(blur_estimation):
    outputs = blur_estimation(random_input((32, 64), 3))
    shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
    assert shapes == {
        "defocus": (2, 32, 64, 1),
        "feature": (2, 32, 64, 4),  # 64 channels * 0.0625
        "aux0": (2, 2, 4, 1),
        "aux1": (2, 4, 8, 1),
        "aux2": (2, 8, 16, 1),
        "aux3": (2, 16, 32, 1),
        "aux4": (2, 32, 64, 1),
    }
    for name in set(outputs) - {"feature"}:
        assert 0 <= np.min(outputs[name]) <= np.max(outputs[name]) <= 1


def test_blur_estimation_takes_multiples_of_16_only(blur_estimation):
    rule = "height and width must be multiples of 16"
    with pytest.raises(ValueError, match=f"{rule}; received 32 x 40"):
        blur_estimation(tf.zeros([1, 32, 40, 3]))
    graph = tf.function(
        blur_estimation, input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        graph(tf.zeros([1, 8, 32, 3]))


def test_paper_width_has_the_published_sizes():
    parameters = {
        builder.__name__: sum(np.prod(weight.shape) for weight in builder(1.0).trainable_weights)
        for builder in (build_domain_discriminator, build_sharpness_calibration)
    }
    assert parameters == {
        # 4x4 kernels: 16 * (64*64 + 64*128 + 128*256 + 256*512 + 512*1), offsets 64+128+256+512
        "build_domain_discriminator": 16 * 176_640 + 960,
        # 1x1 kernels: 1*64 + 2*64*64, 64*32 + 2*32*32, 32*16 + 2*16*16, 16*1;
        # biases and offsets: 2 * (3*64 + 3*32 + 3*16), and the last bias
        "build_sharpness_calibration": 8_256 + 4_096 + 1_024 + 16 + 672 + 1,
    }


def test_discriminator_gives_a_logit_per_32_pixels():
    logits = build_domain_discriminator(WIDTH)(random_input((33, 64), 4))
    assert logits.shape == (2, 2, 2, 1)  # ceil(33 / 32), 64 / 32


def test_sharpness_judges_a_pixel_by_its_value_alone():
    model = build_sharpness_calibration(WIDTH)
    maps = np.random.default_rng(0).permutation(np.repeat([0.1, 0.4, 0.8], 12)).reshape(1, 6, 6, 1)
    logits = np.asarray(model(tf.constant(maps, tf.float32)))
    for value in (0.1, 0.4, 0.8):
        assert np.ptp(logits[maps == value]) < 1e-6


def test_content_preservation_is_frozen():
    model = build_content_preservation(WIDTH)
    assert model.trainable_variables == []
    assert model(random_input((33, 47), 1)).shape == (2, 4, 5, 32)  # 33 // 8, 47 // 8, 512 / 16


def test_adversarial_content_and_sharpness_gradients_reach_blur_estimation(blur_estimation):
    x = random_input((32, 32), 3)
    binary = tf.cast(random_input((32, 32), 1) > 0.5, tf.float32)
    discriminator = build_domain_discriminator(WIDTH)
    content, sharpness = build_content_preservation(WIDTH), build_sharpness_calibration(WIDTH)
    with tf.GradientTape(persistent=True) as tape:
        b = blur_estimation(x, training=True)
        named = {
            "adversarial": losses.adversarial_loss(discriminator(b["feature"], training=True)),
            "content": losses.content_loss(content(b["defocus"]), content(binary)),
            "sharpness": losses.sharpness_loss(sharpness(b["defocus"], training=True), binary),
        }
    last = {"adversarial": "level0_conv1"}  # D sees the feature before refinement
    for name, loss in named.items():
        for layer in ("conv1_1", last.get(name, "final_conv3")):
            kernel = blur_estimation.get_layer(layer).kernel
            assert np.abs(tape.gradient(loss, kernel)).max() > 0, (name, layer)
    after = blur_estimation.get_layer("final_conv3").kernel
    assert tape.gradient(named["adversarial"], after) is None


# Layers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (1, 3), (1, 1)])
def test_symmetric_padding_repeats_the_edge(size):
    x = random_input(size, 2)
    expected = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")
    np.testing.assert_array_equal(SymmetricPadding2D()(x), expected)


def test_symmetric_padding_gradient_counts_each_copy():
    layer, x = SymmetricPadding2D(), tf.zeros([1, 3, 4, 1])

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x))
        return tape.gradient(total, x)[0, :, :, 0]

    # A corner stands in the padded image 4 times, an edge pixel twice.
    expected = [[4, 2, 2, 4], [2, 1, 1, 2], [4, 2, 2, 4]]
    np.testing.assert_array_equal(gradient(x), expected)
    np.testing.assert_array_equal(tf.function(gradient, jit_compile=True)(x), expected)


def test_batch_norm_by_hand():
    layer = BatchNorm()
    layer.build((None, None, None, 1))
    layer.beta.assign([0.5])
    x = tf.reshape(tf.constant([1.0, 2.0, 3.0, 6.0]), [1, 2, 2, 1])
    # mean 3; squared deviations 4 + 1 + 0 + 9 = 14: variance 14/4 = 3.5, unbiased 14/3
    expected = (np.ravel(x) - 3) / np.sqrt(3.5 + 1e-5) + 0.5
    np.testing.assert_allclose(np.ravel(layer(x, training=True)), expected, rtol=1e-5)
    # from 0 and 1: 0.9 * 0 + 0.1 * 3 and 0.9 * 1 + 0.1 * 14/3
    np.testing.assert_allclose(layer.moving_mean, [0.3], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.9 + 1.4 / 3], rtol=1e-6)
    expected = (np.ravel(x) - 0.3) / np.sqrt(0.9 + 1.4 / 3 + 1e-5) + 0.5
    np.testing.assert_allclose(np.ravel(layer(x, training=False)), expected, rtol=1e-5)
    layer.trainable = False  # frozen: inference even in training
    np.testing.assert_allclose(np.ravel(layer(x, training=True)), expected, rtol=1e-5)


def test_batch_norm_gradient_agrees_with_keras():
    ours, theirs = BatchNorm(), keras.layers.BatchNormalization(scale=False, epsilon=1e-5)
    x = random_input((5, 7), 3)
    weights = random_input((5, 7), 3, seed=1)

    def gradient(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=True) ** 2 * weights)
        return tape.gradient(total, x)

    expected = gradient(theirs)
    np.testing.assert_allclose(gradient(ours), expected, rtol=1e-3, atol=1e-4)
    compiled = tf.function(lambda: gradient(ours), jit_compile=True)()
    np.testing.assert_allclose(compiled, expected, rtol=1e-3, atol=1e-4)


def test_scaled_channels():
    assert scaled(512, 1.0) == 512
    assert scaled(512, 0.25) == 128
    assert scaled(16, 0.0625) == 4  # 1 would be too thin
    with pytest.raises(ValueError, match="width must be positive; received 0"):
        scaled(64, 0)


def test_monotone_calibration_by_hand_and_in_order():
    calibrate = build_monotone_calibration()
    levels = np.float32([0.01, 0.12, 0.5, 0.99])
    logits = np.array(calibrate(levels.reshape(1, 1, 4, 1))).ravel()
    # 4 * (log(m / (1 - m)) - log(0.12 / 0.88)); the second is its own border.
    expected = 4 * (np.log(levels / (1 - levels)) - np.log(0.12 / 0.88))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    layer = calibrate.get_layer("calibration")
    layer.slope.assign(-5.0)  # softplus keeps what is multiplied above 0
    logits = np.array(calibrate(levels.reshape(1, 1, 4, 1))).ravel()
    assert (np.diff(logits) > 0).all()
    edges = np.array(calibrate(np.float32([0, 1]).reshape(1, 1, 2, 1)))
    assert np.isfinite(edges).all()


def test_encoder_and_decoder_have_widths_of_their_own():
    model = build_blur_estimation(0.125, 0.25)
    sizes = {name: model.get_layer(name).filters for name in ("conv5_4", "level3_conv1")}
    assert sizes == {"conv5_4": 64, "level3_conv1": 64}  # 512 / 8, 256 / 4
    assert model.output["feature"].shape[-1] == 16  # 64 / 4

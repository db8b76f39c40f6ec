"""Losses against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.training import losses


def images(*rows):
    return tf.constant(rows, tf.float32)[None, :, :, None]


def test_mean_squared_errors():
    # errors 0.5, 0, -1, 2: squares 0.25 + 0 + 1 + 4 = 5.25, over 4
    a, b = images([0.5, 1], [0, 2]), images([0, 1], [1, 0])
    assert float(losses.defocus_loss(a, b)) == 1.3125
    assert float(losses.content_loss(a, b)) == 1.3125


def test_auxiliary_loss_takes_the_corners():
    # 3 x 3 to 2 x 2: rows and columns round(0 * 2/1) = 0 and round(1 * 2/1) = 2, the corners.
    label = images([1, 9, 2], [9, 9, 9], [3, 9, 4])
    assert float(losses.auxiliary_loss(images([1, 2], [3, 4]), label)) == 0
    # one error of 2: 4 / 4
    assert float(losses.auxiliary_loss(images([1, 2], [3, 6]), label)) == 1


def test_binary_cross_entropies():
    # sigmoid(log 3) = 3/4, sigmoid(0) = 1/2
    logits = images([np.log(3.0), 0])
    ln = np.log
    # b = 1, 0: -(ln 3/4 + ln 1/2) / 2
    expected = -(ln(0.75) + ln(0.5)) / 2
    np.testing.assert_allclose(losses.sharpness_loss(logits, images([1, 0])), expected, rtol=1e-6)
    boolean = tf.constant([[[[True], [False]]]])
    np.testing.assert_allclose(losses.sharpness_loss(logits, boolean), expected, rtol=1e-6)
    # z = 1 everywhere: the same here, since sigmoid(0) = 1 - sigmoid(0)
    np.testing.assert_allclose(losses.adversarial_loss(logits), expected, rtol=1e-6)
    np.testing.assert_allclose(losses.discriminator_loss(logits, True), expected, rtol=1e-6)
    # z = 0: -(ln 1/4 + ln 1/2) / 2
    expected = -(ln(0.25) + ln(0.5)) / 2
    np.testing.assert_allclose(losses.discriminator_loss(logits, False), expected, rtol=1e-6)


def test_extreme_logits_stay_finite():
    # BCE(1000, z = 0) = 1000, BCE(1000, z = 1) = 0
    logits = images([1000.0])
    assert float(losses.discriminator_loss(logits, False)) == 1000
    assert float(losses.adversarial_loss(logits)) == 0


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_losses_compute_in_float32(dtype):
    # The square of 300 is beyond float16, and 1/3 of a sum of ones beyond bfloat16's bits.
    prediction, label = tf.cast(images([300, 0, 0]), dtype), images([0, 0, 0])
    loss = losses.content_loss(prediction, label)
    assert loss.dtype == tf.float32
    assert float(loss) == 30000
    assert losses.adversarial_loss(prediction).dtype == tf.float32


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="equal shapes"):
        losses.defocus_loss(tf.zeros([2, 4, 4, 1]), tf.zeros([2, 4, 4]))
    with pytest.raises(ValueError, match="equal shapes"):
        losses.sharpness_loss(tf.zeros([2, 4, 4, 1]), tf.zeros([2, 1, 4, 1]))


@pytest.mark.parametrize(
    ("size_in", "size_out"), [(240, 15), (80, 5), (64, 4), (7, 7), (5, 1), (1, 1), (2, 3), (6, 3)]
)
def test_resize_nearest_agrees_with_the_formula(size_in, size_out):
    # round(i * (in - 1) / (out - 1)), halves up; 6 -> 3: 0, round(2.5) = 3, 5
    steps = max(size_out - 1, 1)
    rows = [int(np.floor(i * (size_in - 1) / steps + 0.5)) for i in range(size_out)]
    label = np.random.default_rng(0).uniform(size=(2, size_in, 3, 1)).astype(np.float32)
    resized = losses.resize_nearest(tf.constant(label), [size_out, 2])
    np.testing.assert_array_equal(resized, label[:, rows][:, :, [0, 2]])


def test_resize_nearest_takes_dynamic_sizes():
    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([2], tf.int32)]
    )
    def graph(label, size):
        return losses.resize_nearest(label, size)

    label = tf.reshape(tf.range(20.0), [1, 4, 5, 1])
    np.testing.assert_array_equal(graph(label, [2, 2])[0, :, :, 0], [[0, 4], [15, 19]])
    np.testing.assert_array_equal(graph(label, [1, 3])[0, :, :, 0], [[0, 2, 4]])


def test_gradients_by_hand():
    x, label = images([0.5, 1], [0, 2]), images([0, 1], [1, 0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        defocus = losses.defocus_loss(x, label)
        adversarial = losses.adversarial_loss(x)
    # 2 (a - b) / n and (sigmoid(x) - z) / n, n = 4
    np.testing.assert_allclose(tape.gradient(defocus, x), (x - label) / 2)
    np.testing.assert_allclose(
        tape.gradient(adversarial, x), (tf.sigmoid(x) - 1) / 4, rtol=1e-5, atol=1e-7
    )


def test_divergence_of_maps():
    # y = 1/2, p = 1/4: (ln 2 + ln 2/3) / 2; equal maps, 0 and 1 among them, cost nothing.
    label = images([0.5, 0.0, 1.0, 0.3])
    expected = (np.log(2.0) + np.log(2 / 3)) / 2 / 4
    divergence = losses.defocus_loss(images([0.25, 0.0, 1.0, 0.3]), label, "divergence")
    np.testing.assert_allclose(divergence, expected, rtol=1e-4)  # beside the margins
    opposite = losses.defocus_loss(images([1.0, 0.0]), images([0.0, 1.0]), "divergence")
    np.testing.assert_allclose(opposite, -np.log(1e-6), rtol=1e-2)  # finite: float32's 1 - 1e-6


def test_divergence_and_mse_agree_on_the_best_map_but_not_on_the_way_there():
    logit = tf.Variable(-2.0)
    labels = images([0.0, 0.0, 0.3])  # their mean, 0.1, is the best single value
    gradients = {}
    for kind in ("mse", "divergence"):
        for start in (-2.0, float(np.log(0.1 / 0.9))):
            logit.assign(start)
            with tf.GradientTape() as tape:
                loss = losses.defocus_loss(tf.sigmoid(logit) * tf.ones([1, 1, 3, 1]), labels, kind)
            gradients[kind, start] = float(tape.gradient(loss, logit))
            if start > -2.0:
                assert abs(gradients[kind, start]) < 1e-6
    p = 1 / (1 + np.exp(2.0))
    np.testing.assert_allclose(
        gradients["mse", -2.0], 2 * p * (1 - p) * gradients["divergence", -2.0], rtol=1e-4
    )

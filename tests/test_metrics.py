"""Metrics against numbers worked out by hand and against slow, readable references."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import metrics

RNG = np.random.default_rng(0)


def test_errors_of_two_maps():
    # Differences 0.1, -0.2, 0, 0.3: squares 0.01 + 0.04 + 0 + 0.09 = 0.14; absolutes sum to 0.6.
    predicted, truth = [[0.5, 0.2], [0.7, 0.9]], [[0.4, 0.4], [0.7, 0.6]]
    assert metrics.mean_squared_error(predicted, truth) == pytest.approx(0.14 / 4)
    assert metrics.mean_absolute_error(predicted, truth) == pytest.approx(0.6 / 4)


def test_tensors_of_any_float_type_are_taken_and_a_python_float_comes_out():
    predicted = tf.constant([[0.5, 0.25]], tf.bfloat16)
    value = metrics.mean_squared_error(predicted, tf.constant([[0.0, 0.25]], tf.float16))
    assert type(value) is float and value == 0.125


def test_float32_maps_are_averaged_in_float64():
    # Every value is float32(0.1), so is the mean; summed in float32 it is off in the 7th digit.
    maps = np.full((1000, 1000), 0.1, np.float32)
    mean = metrics.mean_absolute_error(maps, np.zeros_like(maps))
    assert mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    assert maps.mean(dtype=np.float32) != pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_best_constant_weighs_maps_by_their_pixels():
    # Values 0, 0, 0, 0 and 1: mean 1/5; squared errors 4 * 1/25 + 16/25 = 4/5; by 5 pixels 4/25.
    maps = [np.zeros((2, 2)), np.ones((1, 1))]
    assert metrics.best_constant(maps) == pytest.approx(1 / 5)
    assert metrics.best_constant_mse(maps) == pytest.approx(4 / 25)


def test_best_constant_is_the_best_of_all_constants():
    maps = [RNG.random((h, w, 1), np.float32) for h, w in ((7, 5), (3, 3), (16, 2))]
    pixels = np.concatenate([m.ravel() for m in maps]).astype(np.float64)
    trials = np.linspace(0, 1, 2001)
    errors = [np.mean((pixels - c) ** 2) for c in trials]
    assert metrics.best_constant(iter(maps)) == pytest.approx(trials[np.argmin(errors)], abs=5e-4)
    assert metrics.best_constant_mse(iter(maps)) == pytest.approx(pixels.var(), rel=1e-12)


def test_threshold_lies_between_the_extremes_of_the_map():
    # 0.3 * 0.9 + 0.7 * 0.1 = 0.34.
    assert metrics.adaptive_threshold([[0.1, 0.5], [0.9, 0.2]]) == pytest.approx(0.34)
    assert metrics.adaptive_threshold([[0.1, 0.9]], alpha=0.5) == pytest.approx(0.5)


def test_blur_accuracy():
    # tau 0.34: blurred are 0.5 and 0.9. The mask calls 0.9 and 0.2 blurred: 2 of 4 agree.
    defocus = np.array([[0.1, 0.5], [0.9, 0.2]])
    assert metrics.blur_accuracy(defocus, [[0, 0], [1, 1]]) == 0.5
    # Scaling the map changes nothing, unlike a fixed threshold; inverting the mask inverts it.
    assert metrics.blur_accuracy(defocus / 10, [[0, 0], [1, 1]]) == 0.5
    assert metrics.blur_accuracy(defocus, [[False, True], [True, False]]) == 1.0
    assert metrics.blur_accuracy(defocus, [[1, 0], [0, 1]]) == 0.0
    # tau = 0.7, and no value lies above it: all sharp.
    assert metrics.blur_accuracy(np.full((2, 2), 0.7), [[1, 0], [0, 0]]) == 0.75


def test_average_precision_without_ties():
    # Descending: 0.9 (1), 0.8 (0), 0.7 (1), 0.1 (0). Precision at the hits 1/1 and 2/3, recall
    # 1/2 each: 1/2 * 1 + 1/2 * 2/3 = 5/6.
    assert metrics.average_precision([0.1, 0.9, 0.8, 0.7], [0, 1, 0, 1]) == pytest.approx(5 / 6)


def test_average_precision_takes_ties_as_one_threshold():
    # Thresholds 0.9: 1 of 1 is a hit, recall 1/3. 0.5: three more pixels, two hits, precision 3/4,
    # recall 1. 0.1: recall stays. 1/3 * 1 + 2/3 * 3/4 = 5/6, in whatever order the ties come.
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    for blurred in ([1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 0, 1, 0]):
        assert metrics.average_precision(scores, blurred) == pytest.approx(5 / 6)
    # A constant map has one threshold: precision is the share of blurred pixels.
    assert metrics.average_precision(np.full(8, 0.3), [1, 0, 0, 0, 1, 0, 0, 0]) == 0.25


def slow_average_precision(scores, blurred):
    area, recall_before = 0.0, 0.0
    for tau in sorted(set(scores), reverse=True):
        chosen = [b for s, b in zip(scores, blurred, strict=True) if s >= tau]
        precision, recall = sum(chosen) / len(chosen), sum(chosen) / sum(blurred)
        area += (recall - recall_before) * precision
        recall_before = recall
    return area


def test_average_precision_against_one_threshold_at_a_time():
    for levels in (3, 10, 1000):
        scores = RNG.integers(0, levels, 200) / levels
        blurred = (RNG.random(200) < 0.3 + 0.4 * scores).astype(int)
        got = metrics.average_precision(scores.reshape(20, 10), blurred.reshape(20, 10))
        assert got == pytest.approx(slow_average_precision(scores, blurred), rel=1e-12)


def test_f_beta():
    # TP 2, FP 1, FN 2: P = 2/3, R = 1/2; 1.3 * 1/3 / (0.3 * 2/3 + 1/2) = (1.3/3) / 0.7 = 13/21.
    predicted, truth = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0]
    assert metrics.f_beta(predicted, truth) == pytest.approx(13 / 21)
    # beta^2 = 1: the harmonic mean, 2 * 1/3 / (7/6) = 4/7.
    assert metrics.f_beta(predicted, truth, beta_squared=1.0) == pytest.approx(4 / 7)
    assert metrics.f_beta([True, False], [True, False]) == 1.0
    assert metrics.f_beta([1, 0], [0, 1]) == 0.0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.mean_squared_error(np.ones((2, 2)), np.ones((2, 2, 1))), r"\(2, 2, 1\)"),
        (lambda: metrics.mean_absolute_error([np.nan, 1], [0, 0]), "first argument .* 1 NaN"),
        (lambda: metrics.mean_squared_error([0, 0], [np.inf, np.nan]), "second argument .* 2 NaN"),
        (lambda: metrics.mean_squared_error([], []), r"received shape \(0,\)"),
        (lambda: metrics.best_constant([]), "at least one map"),
        (lambda: metrics.best_constant_mse([np.ones((2, 2)), [[np.nan]]]), "finite"),
        (lambda: metrics.adaptive_threshold(np.ones((2, 4, 4, 1))), r"received \(2, 4, 4, 1\)"),
        (lambda: metrics.blur_accuracy(np.ones((2, 2)), [[0, 255], [0, 0]]), "received 255"),
        (lambda: metrics.average_precision([0.1, 0.2], [0, 0]), "at least one blurred"),
        (lambda: metrics.average_precision([0.1, np.nan], [0, 1]), "finite"),
        (lambda: metrics.f_beta([0.3, 1], [0, 1]), "prediction .* received 0.3"),
        (lambda: metrics.f_beta([0, 0], [0, 0]), "none in both"),
    ],
)
def test_wrong_input_is_refused_with_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Metrics against numbers worked out by hand and against slow, readable references."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import metrics

RNG = np.random.default_rng(0)
NOTHING_BLURRED = metrics.threshold_counts([0.1, 0.7], [0, 0], 10)


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


def test_best_accuracy():
    # Ascending: 0.1 (0), 0.4 (1), 0.6 (0), 0.9 (1). Blurred from 0.1 on: 2 of 4 agree; from 0.4 on:
    # 0, 1, 1, 1 against 0, 1, 0, 1: 3; from 0.6 on: 2; from 0.9 on: 3; none: 2.
    assert metrics.best_accuracy([0.6, 0.1, 0.9, 0.4], [0, 0, 1, 1]) == 0.75
    # An order that is the opposite of the truth: calling everything blurred is right for 2 of 3,
    # and calling nothing blurred where 2 of 3 are sharp.
    assert metrics.best_accuracy([0.1, 0.2, 0.9], [1, 1, 0]) == pytest.approx(2 / 3)
    assert metrics.best_accuracy([0.1, 0.8, 0.9], [1, 0, 0]) == pytest.approx(2 / 3)
    # Ties cannot be split: 0.5 (1, 0, 0) is called sharp as a whole.
    assert metrics.best_accuracy([0.5, 0.5, 0.5, 0.9], [1, 0, 0, 1]) == 0.75
    assert metrics.best_accuracy([0.3, 0.3], [0, 0]) == 1.0  # no blurred pixel is no problem here


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


def test_min_max_stretches_and_leaves_a_constant_alone():
    stretched = metrics.min_max([[0.2, 0.4], [0.3, 0.6]])
    assert stretched == pytest.approx(np.array([[0, 0.5], [0.25, 1]]))
    assert (metrics.min_max(np.full((2, 3), 0.4)) == 0.4).all()


def test_counts_at_thresholds():
    # Thresholds 0, 1/4, 1/2, 3/4, 1. Scores at or above: all 4; 0.3, 0.5, 1; 0.5, 1; 1; 1.
    # Blurred are 0.1 and 0.5.
    counts = metrics.threshold_counts([0.1, 0.3, 0.5, 1.0], [1, 0, 1, 0], levels=4)
    assert counts.called.tolist() == [4, 3, 2, 1, 1] and counts.hits.tolist() == [2, 1, 1, 0, 0]
    precision, recall = metrics.precision_recall(counts)
    assert precision == pytest.approx([1 / 2, 1 / 3, 1 / 2, 0, 0])
    assert recall == pytest.approx([1, 1 / 2, 1 / 2, 0, 0])
    # AP: recall rises by 1/2 at threshold 1/2 (precision 1/2) and by 1/2 at 0 (precision 1/2).
    assert metrics.average_precision_of_counts(counts) == pytest.approx(1 / 2)
    # F: 1.3 * hits / (0.3 * 2 + called).
    assert metrics.f_beta_curve(counts) == pytest.approx(
        [2.6 / 4.6, 1.3 / 3.6, 1.3 / 2.6, 0 / 1.6, 0 / 1.6]
    )


def test_counts_of_images_add_up():
    scores, blurred = RNG.random((2, 50)), RNG.integers(0, 2, (2, 50))
    both = metrics.sum_counts(metrics.threshold_counts(scores[i], blurred[i], 16) for i in (0, 1))
    whole = metrics.threshold_counts(scores, blurred, 16)
    assert np.array_equal(both.hits, whole.hits) and np.array_equal(both.called, whole.called)
    assert both.blurred == whole.blurred


def test_precision_is_one_where_nothing_is_called_blurred():
    counts = metrics.threshold_counts([0.2, 0.4], [0, 1], levels=2)
    assert metrics.precision_recall(counts)[0].tolist() == [0.5, 1.0, 1.0]


def test_blur_detection_agrees_with_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    for levels, share in ((4, 0.5), (255, 0.1), (4096, 0.8)):
        scores = np.floor(RNG.random(3000) * (levels + 1)) / levels
        blurred = RNG.random(3000) < share * scores
        ap = reference.average_precision_score(blurred, scores)
        assert metrics.average_precision(scores, blurred) == pytest.approx(ap, rel=1e-12)
        counts = metrics.threshold_counts(scores, blurred, levels)
        assert metrics.average_precision_of_counts(counts) == pytest.approx(ap, rel=1e-12)
        precision, recall = metrics.precision_recall(counts)
        theirs = reference.precision_recall_curve(blurred, scores)
        at = np.rint(theirs[2] * levels).astype(int)
        assert precision[at] == pytest.approx(theirs[0][:-1])
        assert recall[at] == pytest.approx(theirs[1][:-1])
        f_beta = metrics.f_beta_curve(counts)
        for k in (0, levels // 3, levels - 1):
            predicted = scores >= k / levels
            theirs = reference.fbeta_score(blurred, predicted, beta=np.sqrt(0.3))
            assert metrics.f_beta(predicted, blurred) == pytest.approx(theirs, rel=1e-12)
            assert f_beta[k] == pytest.approx(theirs, rel=1e-12)


def test_errors_agree_with_scikit_image():
    reference = pytest.importorskip("skimage.metrics")
    a, b = RNG.random((2, 30, 20))
    assert metrics.mean_squared_error(a, b) == pytest.approx(reference.mean_squared_error(a, b))


def test_contrast_kept():
    # Rows 0 0 1 1, distance 1: one step per row, of 1. The map shows 0.8 - 0.2 = 0.6 of it.
    truth = np.array([[0.0, 0, 1, 1]] * 3)
    predicted = np.array([[0.0, 0.2, 0.8, 1]] * 3)
    assert metrics.contrast_kept(predicted, truth, distance_px=1) == pytest.approx(0.6)
    # Distance 2: columns (0, 2) and (1, 3) differ by 1 each; the map shows 0.8 and 0.8.
    assert metrics.contrast_kept(predicted, truth, distance_px=2) == pytest.approx(0.8)
    assert metrics.contrast_kept(truth.T / 2, truth.T, distance_px=1) == pytest.approx(0.5)
    assert metrics.contrast_kept(np.ones((3, 4)), truth, distance_px=1) == 0.0
    assert metrics.contrast_kept(1 - truth, truth, distance_px=1) == pytest.approx(-1)
    # Steps below 0.1 do not count, and where there are none nothing can be kept.
    assert np.isnan(metrics.contrast_kept(truth, truth * 0.09, distance_px=1))
    assert np.isnan(metrics.contrast_kept(truth, truth, distance_px=8))


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
        (lambda: metrics.average_precision([0.1, 0.2], [0, 0]), "at least one blurred pixel"),
        (lambda: metrics.average_precision([0.1, np.nan], [0, 1]), "finite"),
        (lambda: metrics.f_beta([0.3, 1], [0, 1]), "prediction .* received 0.3"),
        (lambda: metrics.f_beta([0, 0], [0, 0]), "none in both"),
        (lambda: metrics.threshold_counts([0.1, 1.2], [0, 1], 10), "received 0.1 to 1.2"),
        (lambda: metrics.precision_recall(NOTHING_BLURRED), "at least one blurred pixel"),
        (lambda: metrics.f_beta_curve(NOTHING_BLURRED), "needs a blurred pixel"),
    ],
)
def test_wrong_input_is_refused_with_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()

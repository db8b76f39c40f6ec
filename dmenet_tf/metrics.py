"""Metrics: tensors or arrays in, a number out. NumPy only, computed in float64.

`defocus` is what B predicts and labels hold, 0 (sharp) .. 1 (most blurred); a mask or `truth` of a
blur detection is binary, 1 = blurred. Anything `np.asarray` takes is accepted. Both arguments of a
metric have the same shape, and every value is finite; otherwise ValueError is raised, because an
average over a NaN, or a broadcast of [H, W] against [H, W, 1], gives a number that looks right.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


def mean_squared_error(predicted, truth) -> float:
    """Mean of (predicted - truth)^2 over all values; on `defocus` maps of any equal shape."""
    predicted, truth = _pair(predicted, truth)
    return float(np.mean(np.square(predicted - truth)))


def mean_absolute_error(predicted, truth) -> float:
    """Mean of |predicted - truth| over all values; on `defocus` maps of any equal shape."""
    predicted, truth = _pair(predicted, truth)
    return float(np.mean(np.abs(predicted - truth)))


def best_constant(maps: Iterable) -> float:
    """The one value with the least summed squared error over all pixels of all maps: their mean.

    `maps` may differ in size; each counts by its number of pixels. Its error, `best_constant_mse`,
    is what a predictor that ignores its input can reach.
    """
    return _best_constant(maps)[0]


def best_constant_mse(maps: Iterable) -> float:
    """Mean squared error of `best_constant` over all pixels of all maps: their variance."""
    return _best_constant(maps)[1]


def adaptive_threshold(defocus, alpha: float = 0.3) -> float:
    """tau = alpha * max + (1 - alpha) * min of one image's map, [H, W] or [H, W, 1]."""
    defocus = _one_image("defocus", defocus)
    return float(alpha * defocus.max() + (1.0 - alpha) * defocus.min())


def blur_accuracy(defocus, blurred_mask, alpha: float = 0.3) -> float:
    """Share of one image's pixels that the thresholded map and the binary mask agree on.

    A pixel is blurred where `defocus` is above `adaptive_threshold` (Lee et al. 2019, on CUHK). A
    constant map has nothing above its threshold and counts as sharp throughout. A collection's
    figure is the mean over its images.
    """
    defocus, blurred_mask = _pair(defocus, blurred_mask)
    blurred = defocus > adaptive_threshold(defocus, alpha)
    return float(np.mean(blurred == _binary("the mask", blurred_mask)))


def average_precision(scores, blurred) -> float:
    """Area under the precision-recall curve as the step-wise sum of (R_n - R_{n-1}) * P_n.

    The definition of scikit-learn's `average_precision_score`: no interpolation, and equal scores
    are one threshold, so the order of tied pixels has no influence. `scores` are larger where more
    blurred, on any scale. Raises ValueError where no pixel is blurred: recall is undefined there.
    """
    return average_precision_of_counts(distinct_counts(scores, blurred))


def best_accuracy(scores, blurred) -> float:
    """Share of one image's pixels that agree with the mask at the threshold that suits it best.

    Over every threshold, also those that call all pixels blurred or none: never below the share of
    the larger class. `scores` as in `average_precision`.
    """
    return best_accuracy_of_counts(distinct_counts(scores, blurred))


def f_beta(predicted, truth, beta_squared: float = 0.3) -> float:
    """F_beta = (1 + b2) * P * R / (b2 * P + R) of two binary masks, 1 = blurred.

    Computed from counts, (1 + b2) TP / ((1 + b2) TP + b2 FN + FP), which is the same number and
    needs no epsilon where precision and recall are both 0. beta^2 = 0.3 weighs precision more, as
    the literature of blur detection does. Raises ValueError where neither mask is blurred anywhere.
    """
    predicted, truth = _pair(predicted, truth)
    predicted, truth = _binary("the prediction", predicted), _binary("the truth", truth)
    true_positives = np.count_nonzero(predicted & truth)
    false_negatives = np.count_nonzero(~predicted & truth)
    false_positives = np.count_nonzero(predicted & ~truth)
    weighted_hits = (1.0 + beta_squared) * true_positives
    total = weighted_hits + beta_squared * false_negatives + false_positives
    if total == 0:
        raise ValueError("F_beta needs a blurred pixel in either mask; received none in both")
    return float(weighted_hits / total)


def min_max(values) -> np.ndarray:
    """One image's map stretched to 0 .. 1, float64; a constant map is returned as it is.

    A constant map cannot be stretched: 0 / 0 must not decide its value.
    """
    values = _one_image("the map", values)
    low, high = values.min(), values.max()
    return values if high == low else (values - low) / (high - low)


class ThresholdCounts(NamedTuple):
    """How many pixels score at or above each of T ascending thresholds, the first below all scores.

    `hits` int64 [T]: of the truly blurred pixels; `called`: of all pixels. `blurred`: how many
    pixels are truly blurred. Counts of several images at the same thresholds add up (`sum_counts`).
    """

    hits: np.ndarray
    called: np.ndarray
    blurred: int


def distinct_counts(scores, blurred) -> ThresholdCounts:
    """Counts of one image at each score that occurs in it: exact, one sort of the pixels."""
    scores, blurred = _pair(scores, blurred)
    blurred = _binary("`blurred`", blurred)
    descending = np.argsort(-scores, axis=None, kind="stable")
    scores, hits = scores.ravel()[descending], np.cumsum(blurred.ravel()[descending])
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    return ThresholdCounts(hits[last_of_tie][::-1], last_of_tie[::-1] + 1, int(hits[-1]))


def threshold_counts(scores, blurred, levels: int) -> ThresholdCounts:
    """Counts of one image at the thresholds k / levels, k = 0 .. levels; `scores` in [0, 1].

    What a fixed set of thresholds needs, in one pass over the pixels whatever their number.
    """
    scores, blurred = _pair(scores, blurred)
    blurred = _binary("`blurred`", blurred)
    if scores.min() < 0.0 or scores.max() > 1.0:
        raise ValueError(
            "scores at fixed thresholds must lie in [0, 1]; "
            f"received {scores.min():g} to {scores.max():g}"
        )
    bins = np.floor(scores * levels).astype(np.int64)

    def at_least(chosen):
        return np.cumsum(np.bincount(chosen.ravel(), minlength=levels + 1)[::-1])[::-1]

    return ThresholdCounts(at_least(bins[blurred]), at_least(bins), int(np.count_nonzero(blurred)))


def sum_counts(counts: Iterable[ThresholdCounts]) -> ThresholdCounts:
    """The counts of several images' pixels taken together."""
    hits, called, blurred = zip(*counts, strict=True)
    return ThresholdCounts(np.sum(hits, axis=0), np.sum(called, axis=0), sum(blurred))


def precision_recall(counts: ThresholdCounts) -> tuple[np.ndarray, np.ndarray]:
    """(precision, recall) [T] at each threshold, from the highest recall down.

    Precision is 1 where nothing is called blurred, as in scikit-learn. Raises ValueError where no
    pixel is blurred: recall is undefined there.
    """
    if counts.blurred == 0:
        raise ValueError(
            "precision and recall need at least one blurred pixel in the mask; received none"
        )
    called = np.maximum(counts.called, 1)
    precision = np.where(counts.called > 0, counts.hits / called, 1.0)
    return precision, counts.hits / counts.blurred


def average_precision_of_counts(counts: ThresholdCounts) -> float:
    """`average_precision` of scores that are rounded down to the thresholds."""
    precision, _ = precision_recall(counts)
    # Differences of counts are exact, those of recalls are not: a perfect map has 1, and no more.
    return float(np.sum(-np.diff(counts.hits, append=0) * precision) / counts.blurred)


def best_accuracy_of_counts(counts: ThresholdCounts) -> float:
    """`best_accuracy` of scores that are rounded down to the thresholds."""
    pixels = counts.called[0]
    # Called blurred and blurred, or neither: hits + (sharp pixels - those called blurred).
    agreeing = 2 * counts.hits - counts.called + pixels - counts.blurred
    calling_none = pixels - counts.blurred
    return float(max(agreeing.max(), calling_none) / pixels)


def f_beta_curve(counts: ThresholdCounts, beta_squared: float = 0.3) -> np.ndarray:
    """F_beta [T] at each threshold; the same formula as `f_beta`.

    Raises ValueError where no pixel is truly blurred.
    """
    if counts.blurred == 0:
        raise ValueError("F_beta over thresholds needs a blurred pixel; received none")
    return (1.0 + beta_squared) * counts.hits / (beta_squared * counts.blurred + counts.called)


def contrast_kept(predicted, truth, distance_px: int = 8, step: float = 0.1) -> float:
    """Share of the truth's steps that a predicted map shows: 1 all of them, 0 none.

    Over all pairs of pixels `distance_px` apart in a row or a column whose true `defocus` differs
    by `step` or more: sum of the predicted differences in the true direction, divided by the sum of
    the true ones. A map of the right shape at half its height gives 0.5, a constant 0, an inverted
    map less than 0. NaN where the truth has no such pair: there is nothing to keep.
    """
    predicted, truth = _pair(_one_image("`predicted`", predicted), _one_image("`truth`", truth))
    shown = there = 0.0
    for axis in (0, 1):
        count = truth.shape[axis]
        near, far = np.arange(max(0, count - distance_px)), np.arange(distance_px, count)
        true_step = truth.take(far, axis) - truth.take(near, axis)
        predicted_step = predicted.take(far, axis) - predicted.take(near, axis)
        steps = np.abs(true_step) >= step
        shown += float(np.sum(predicted_step[steps] * np.sign(true_step[steps])))
        there += float(np.sum(np.abs(true_step[steps])))
    return shown / there if there else float("nan")


def _best_constant(maps) -> tuple[float, float]:
    # Pooled from each map's own mean and variance: one pass, and no difference of large sums.
    stats = [(m.size, m.mean(), m.var()) for m in (_finite("a map", m) for m in maps)]
    if not stats:
        raise ValueError("the best constant needs at least one map; received none")
    sizes, means, variances = np.transpose(stats)
    constant = np.average(means, weights=sizes)
    mse = np.average(variances + np.square(means - constant), weights=sizes)
    return float(constant), float(mse)


def _pair(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = _finite("the first argument", a), _finite("the second argument", b)
    if a.shape != b.shape:
        raise ValueError(
            f"both arguments must have the same shape; received {a.shape} and {b.shape}"
        )
    return a, b


def _finite(name: str, values) -> np.ndarray:
    values = np.asarray(values).astype(np.float64)
    if values.size == 0:
        raise ValueError(f"{name} must hold at least one value; received shape {values.shape}")
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{name} must be finite; received {bad} NaN or infinite of {values.size}")
    return values


def _one_image(name: str, values) -> np.ndarray:
    values = _finite(name, values)
    if values.ndim != 2 and (values.ndim != 3 or values.shape[-1] != 1):
        raise ValueError(
            f"`{name}` must be one image's map, [H, W] or [H, W, 1]; received {values.shape}"
        )
    return values


def _binary(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isin(values, (0.0, 1.0)).all():
        other = values[~np.isin(values, (0.0, 1.0))].flat[0]
        raise ValueError(f"{name} must hold only 0 and 1 (1 = blurred); received {other:g}")
    return values == 1.0

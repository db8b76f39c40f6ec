"""`cuhk` and `dbd`: a map against a binary mask, 1 = blurred.

`cuhk` after Lee et al., CVPR 2019, section 4; `dbd` as the literature on defocus blur detection
measures. A network that saw a reduced photo is judged by its own output, enlarged: only the order
of a photo's pixels matters here, and sigma in pixels of the photo would be cut off at 7 px.
"""

import functools
from collections.abc import Sequence

import numpy as np

from dmenet_tf import metrics
from dmenet_tf.evaluation import baselines, opening
from dmenet_tf.evaluation.specification import (
    ALWAYS_BLURRED,
    Figure,
    Measured,
    Protocol,
    Summary,
    means,
)

ALPHA = 0.3
BETA_SQUARED = 0.3
# Fine enough for an average precision of pooled pixels within 1e-3; and the 256 of 8-bit maps.
POOLED_LEVELS, EIGHT_BIT_LEVELS = 4096, 255

BASELINES = {
    ALWAYS_BLURRED: baselines.always_blurred,
    baselines.LAPLACIAN: baselines.laplacian_score,
    baselines.LOG_LAPLACIAN: baselines.log_laplacian_score,
}
BASELINE_RULE = (
    f"{baselines.LAPLACIAN}: minus the logarithm of the squared Laplacian of 3 x 3 pixels, "
    f"averaged by a Gaussian of 16 px. {baselines.LOG_LAPLACIAN}: the same of a Laplacian of "
    "Gaussian, averaged by one of 8 px. Both at the photo's full size, stretched to 0 .. 1 in each "
    "photo."
)


# --- maps and decisions ------------------------------------------------------------------------


def _as_is(label, encoding: str, scale: float) -> np.ndarray:
    return np.clip(np.asarray(label, np.float32), 0.0, 1.0)


def _stretched(label, encoding: str, scale: float) -> np.ndarray:
    return np.float32(metrics.min_max(_as_is(label, encoding, scale)))


def _mapping(stretch: bool):
    """(the function, what the report says of it)."""
    if stretch:
        return _stretched, "Truth: 1 = blurred. Compared: each photo's map stretched to 0 .. 1."
    return _as_is, "Truth: 1 = blurred. Compared: the map as it is."


def _above_its_tau(predicted, alpha: float) -> np.ndarray:
    # A constant map has nothing above its own threshold, and "always blurred" would count as sharp
    # throughout; such a map is taken at its word.
    if predicted.min() == predicted.max():
        return _above_half(predicted)
    return predicted > metrics.adaptive_threshold(predicted, alpha)


def _above_half(predicted) -> np.ndarray:
    return predicted >= 0.5


# --- cuhk --------------------------------------------------------------------------------------


def cuhk(alpha: float = ALPHA, stretch: bool = False) -> Protocol:
    """The paper's measure: accuracy at tau = alpha * max + (1 - alpha) * min, and mAP."""
    decide = functools.partial(_above_its_tau, alpha=alpha)
    mapping, map_rule = _mapping(stretch)
    return Protocol(
        name="cuhk",
        samples=opening.labelled_photos,
        map=mapping,
        truth=np.float32,
        measure=functools.partial(_measure_cuhk, decide),
        summarise=_summarise_cuhk,
        figures=(
            Figure("accuracy", "accuracy", True),
            Figure("ap", "mAP", True),
            Figure("best_accuracy", "best threshold", True),
            Figure("pooled_ap", "pooled AP", True, of_image=False),
        ),
        error=lambda figures: 1.0 - figures["accuracy"],
        error_title="1 - accuracy",
        baselines=BASELINES,
        rules=(
            map_rule,
            BASELINE_RULE,
            f"Accuracy: per photo, tau = {alpha:g} max + {1 - alpha:g} min of its map; a pixel is "
            "blurred above tau (of a constant map, where it is 0.5 or more); the share of pixels "
            "that agree with the mask.",
            "mAP, the headline: the average precision of each photo's pixels, averaged over "
            "photos: every photo counts the same, and maps of different photos need no common "
            "scale.",
            "Best threshold: the accuracy at the threshold that suits each photo best, averaged "
            "over photos. It takes the threshold from the truth: what any choice of tau could "
            "reach with these maps.",
            "Pooled AP: of all photos' pixels together, at 4,096 thresholds; its curve is the one "
            "drawn.",
        ),
        decide=decide,
        options=("polarity",),
        variant=cuhk,
        settings=("alpha", "stretch"),
    )


def _measure_cuhk(decide, predicted, truth) -> Measured:
    exact = metrics.distinct_counts(predicted, truth)
    # Precision of a class that is absent is not defined.
    ap = metrics.average_precision_of_counts(exact) if exact.blurred else np.nan
    figures = {
        "accuracy": float(np.mean(decide(predicted) == (truth == 1.0))),
        "ap": ap,
        "best_accuracy": metrics.best_accuracy_of_counts(exact),
    }
    return Measured(figures, metrics.threshold_counts(predicted, truth, POOLED_LEVELS))


def _summarise_cuhk(measured: Sequence[Measured]) -> Summary:
    figures, defined = means(measured)
    pooled = metrics.sum_counts(m.counts for m in measured)
    if not pooled.blurred:
        return Summary(figures | {"pooled_ap": float("nan")}, defined)
    figures["pooled_ap"] = metrics.average_precision_of_counts(pooled)
    return Summary(figures, defined, _curve(pooled))


# --- dbd ---------------------------------------------------------------------------------------


def dbd(stretch: bool = True) -> Protocol:
    """The literature's measures: F-beta at 0.5 and at its best, and MAE."""
    mapping, map_rule = _mapping(stretch)
    return Protocol(
        name="dbd",
        samples=opening.labelled_photos,
        map=mapping,
        truth=np.float32,
        measure=_measure_dbd,
        summarise=_summarise_dbd,
        figures=(
            Figure("f_fixed", "F at 0.5", True),
            Figure("f_max", "max F", True),
            Figure("mae", "MAE", False),
        ),
        error=lambda figures: figures["mae"],
        error_title="MAE",
        baselines=BASELINES,
        rules=(
            map_rule,
            BASELINE_RULE,
            "F: F-beta with beta^2 = 0.3, blurred where the map is at or above the threshold. "
            "Max F: the largest, over 256 thresholds, of the mean over photos, so that one "
            "threshold serves all; a single photo's is its own largest.",
            "MAE: mean |map - mask|. The curve drawn pools all photos' pixels.",
        ),
        decide=_above_half,
        options=("polarity",),
        variant=dbd,
        settings=("stretch",),
    )


def _measure_dbd(predicted, truth) -> Measured:
    counts = metrics.threshold_counts(predicted, truth, EIGHT_BIT_LEVELS)
    figures = {
        "f_fixed": float("nan"),  # F of a class that is absent is not defined
        "f_max": float("nan"),
        "mae": metrics.mean_absolute_error(predicted, truth),
    }
    if counts.blurred:
        figures["f_fixed"] = metrics.f_beta(_above_half(predicted), truth, BETA_SQUARED)
        figures["f_max"] = float(metrics.f_beta_curve(counts, BETA_SQUARED).max())
    return Measured(figures, counts)


def _summarise_dbd(measured: Sequence[Measured]) -> Summary:
    figures, defined = means(measured)
    with_blur = [m.counts for m in measured if m.counts.blurred]
    if not with_blur:
        return Summary(figures, defined)
    curves = [metrics.f_beta_curve(counts, BETA_SQUARED) for counts in with_blur]
    figures["f_max"] = float(np.mean(curves, axis=0).max())
    return Summary(figures, defined, _curve(metrics.sum_counts(m.counts for m in measured)))


def _curve(pooled: metrics.ThresholdCounts) -> tuple[np.ndarray, np.ndarray]:
    """(recall, precision)."""
    precision, recall = metrics.precision_recall(pooled)
    return recall, precision

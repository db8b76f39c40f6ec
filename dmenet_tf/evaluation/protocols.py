"""The named protocols: which map is compared with which truth, and by which figures.

| protocol   | truth                        | the map that is compared                     |
| ---------- | ---------------------------- | -------------------------------------------- |
| `cuhk`     | binary, 1 = blurred          | the network's output, as it is               |
| `dbd`      | binary, 1 = blurred          | its output, each photo stretched to 0 .. 1   |
| `rtf`      | sigma of a disc's radius     | sigma_px, clipped to 3.275 and divided by it |
| `syndof`   | `defocus` of a rendering     | `defocus` = sigma_px / 7                     |
| `segments` | `defocus` of a rendering     | `defocus` = sigma_px / 7                     |

Definitions: Lee et al., CVPR 2019, section 4 (cuhk, rtf, syndof); the literature on defocus blur
detection (dbd). A protocol is an object of one of the two classes here:

    map_of(label, encoding)    a network's output -> the map that is compared
    baselines()                {name: function of a photo -> the same}
    measure(map, truth)        one image's figures, and what the curve needs
    summarise(measured)        the figures of all images

Every figure is a mean over images, each of which counts the same, unless its title says otherwise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf.evaluation import baselines, metrics

ALWAYS_BLURRED = "always blurred"
LOG_LAPLACIAN = "log-Laplacian energy"
BEST_CONSTANT = "best constant (oracle)"

RTF_SIGMA_MAX_PX = 3.275
BETA_SQUARED = 0.3
# Fine enough for an average precision of pooled pixels within 1e-3; and the 256 of 8-bit maps.
POOLED_LEVELS, EIGHT_BIT_LEVELS = 4096, 255


class Figure(NamedTuple):
    """A column of the tables. `of_image`: whether single images have it too."""

    key: str
    title: str
    higher_is_better: bool
    of_image: bool = True


class Measured(NamedTuple):
    """One image: its figures (NaN where one is not defined on it), and counts at thresholds."""

    figures: dict[str, float]
    counts: metrics.ThresholdCounts | None = None


class Summary(NamedTuple):
    """All images: figures, on how many images a figure was defined, and (recall, precision)."""

    figures: dict[str, float]
    defined: dict[str, int]
    curve: tuple[np.ndarray, np.ndarray] | None = None


class Regression:
    """rtf, syndof and segments: a map in units against a map in the same units."""

    shows = "difference"

    def __init__(self, name: str):
        self.name = name
        self.sigma_max_px = RTF_SIGMA_MAX_PX if name == "rtf" else SIGMA_MAX_PX
        self.figures = (Figure("mse", "MSE", False), Figure("mae", "MAE", False))
        self.rules = [
            f"Maps and truth are sigma in pixels, clipped to [0, {self.sigma_max_px:g}] and "
            f"divided by {self.sigma_max_px:g}. MSE and MAE are means over the pixels of an image, "
            "then over the images.",
            f"{LOG_LAPLACIAN}: sigma from the Laplacian energies at two scales under a 1/f^2 "
            f"spectrum; it sees no truth. {BEST_CONSTANT}: the value with the least MSE, taken "
            "from the truth; no method without the truth can know it.",
        ]
        if name in ("syndof", "segments"):
            self._explain_rendered()

    def _explain_rendered(self):
        if self.name == "syndof":
            self.figures += (
                Figure("mse_15", "MSE in /15 units", False, of_image=False),
                Figure("mae_15", "MAE in /15 units", False, of_image=False),
            )
            self.rules.append(
                "In /15 units: the same errors of c/15, c = 2 sigma + 1, the label of the authors' "
                "released data, in which the paper's figures (MSE 0.013, MAE 0.084) were measured: "
                "MSE x (14/15)^2, MAE x 14/15."
            )
        else:
            self.figures += (Figure("contrast", "contrast kept", True),)
            self.rules.append(
                "Contrast kept: over all pairs of pixels 8 px apart in a row or a column whose "
                "true defocus differs by 0.1 or more, the sum of the predicted steps in the true "
                "direction over the sum of the true ones. 1 keeps every step of the border between "
                "two segments, 0 none."
            )

    def map_of(self, label, encoding: str) -> np.ndarray:
        return self.of_sigma(ENCODINGS[encoding].label_to_sigma(label))

    def of_sigma(self, sigma_px) -> np.ndarray:
        return np.float32(np.clip(sigma_px, 0.0, self.sigma_max_px) / self.sigma_max_px)

    def truth_of(self, truth) -> np.ndarray:
        """A sample's truth (sigma_px for rtf, `defocus` otherwise) in the unit of the maps."""
        return self.of_sigma(truth) if self.name == "rtf" else np.float32(truth)

    def baselines(self) -> dict[str, Callable]:
        return {
            ALWAYS_BLURRED: baselines.always_blurred,
            LOG_LAPLACIAN: lambda image: self.of_sigma(baselines.log_laplacian_sigma_px(image)),
        }

    def oracle(self, truth_means: Sequence[float]) -> dict[str, Callable]:
        """The constant with the least MSE, from the mean of each image's truth."""
        constant = float(np.mean(truth_means))  # of the mean over images: each counts the same
        return {
            f"{BEST_CONSTANT}: {constant:.3f}": lambda image: np.full(
                image.shape[:2], constant, np.float32
            )
        }

    def measure(self, predicted, truth) -> Measured:
        figures = {
            "mse": metrics.mean_squared_error(predicted, truth),
            "mae": metrics.mean_absolute_error(predicted, truth),
        }
        if self.name == "segments":
            figures["contrast"] = metrics.contrast_kept(predicted, truth)
        return Measured(figures)

    def summarise(self, measured: Sequence[Measured]) -> Summary:
        figures, defined = _means(measured)
        if self.name == "syndof":
            # c/15 = (2 sigma + 1)/15 = (14 defocus + 1)/15.
            figures["mse_15"] = figures["mse"] * (14 / 15) ** 2
            figures["mae_15"] = figures["mae"] * (14 / 15)
        return Summary(figures, defined)

    def error(self, figures: dict[str, float]) -> float:
        """What images are sorted by, the worst having the largest."""
        return figures["mse"]


class BlurDetection:
    """cuhk and dbd: a map against a binary mask, 1 = blurred.

    Args:
        alpha: of cuhk's threshold, alpha * max + (1 - alpha) * min of each map.
        stretch: whether each map is stretched to 0 .. 1 first; None: as the protocol does.
    """

    shows = "decision"

    def __init__(self, name: str, alpha: float = 0.3, stretch: bool | None = None):
        self.name, self.alpha = name, alpha
        self.stretch = (name == "dbd") if stretch is None else stretch
        self.levels = EIGHT_BIT_LEVELS if name == "dbd" else POOLED_LEVELS
        mapped = "each photo's map stretched to 0 .. 1" if self.stretch else "the map as it is"
        self.rules = [
            f"Truth: 1 = blurred. Compared: {mapped}.",
            f"{LOG_LAPLACIAN}: minus the logarithm of the smoothed squared Laplacian, stretched to "
            "0 .. 1 in each photo.",
        ]
        if name == "cuhk":
            self.figures = (
                Figure("accuracy", "accuracy", True),
                Figure("ap", "mAP", True),
                Figure("pooled_ap", "pooled AP", True, of_image=False),
            )
            self.rules += [
                f"Accuracy: per photo, tau = {alpha:g} max + {1 - alpha:g} min of its map; a pixel "
                "is blurred above tau (of a constant map, where it is 0.5 or more); the share of "
                "pixels that agree with the mask.",
                "mAP, the headline: the average precision of each photo's pixels, averaged over "
                "photos: every photo counts the same, and maps of different photos need no common "
                "scale. Pooled AP: of all photos' pixels together, at 4,096 thresholds; its curve "
                "is the one drawn.",
            ]
        else:
            self.figures = (
                Figure("f_fixed", "F at 0.5", True),
                Figure("f_max", "max F", True),
                Figure("mae", "MAE", False),
            )
            self.rules += [
                "F: F-beta with beta^2 = 0.3, blurred where the map is at or above the threshold. "
                "Max F: the largest, over 256 thresholds, of the mean over photos, so that one "
                "threshold serves all; a single photo's is its own largest.",
                "MAE: mean |map - mask|. The curve drawn pools all photos' pixels.",
            ]

    def map_of(self, label, encoding: str) -> np.ndarray:
        label = np.clip(np.asarray(label, np.float32), 0.0, 1.0)
        return np.float32(metrics.min_max(label)) if self.stretch else label

    def truth_of(self, truth) -> np.ndarray:
        return np.float32(truth)

    def baselines(self) -> dict[str, Callable]:
        return {
            ALWAYS_BLURRED: baselines.always_blurred,
            LOG_LAPLACIAN: baselines.log_laplacian_score,
        }

    def oracle(self, truth_means) -> dict[str, Callable]:
        """None: a constant map says nothing about where the blur is."""
        return {}

    def decide(self, predicted) -> np.ndarray:
        """The binary decision that `accuracy` or `f_fixed` judges.

        cuhk: a constant map has nothing above its own threshold, and "always blurred" would count
        as sharp throughout; such a map is taken at its word, blurred from 0.5 on.
        """
        if self.name == "dbd" or predicted.min() == predicted.max():
            return predicted >= 0.5
        return predicted > metrics.adaptive_threshold(predicted, self.alpha)

    def measure(self, predicted, truth) -> Measured:
        counts = metrics.threshold_counts(predicted, truth, self.levels)
        some = counts.blurred > 0  # precision and F of a class that is absent are not defined
        if self.name == "cuhk":
            figures = {
                "accuracy": np.mean(self.decide(predicted) == (truth == 1.0)),
                "ap": metrics.average_precision(predicted, truth) if some else np.nan,
            }
        else:
            decided = self.decide(predicted)
            figures = {
                "f_fixed": metrics.f_beta(decided, truth, BETA_SQUARED) if some else np.nan,
                "f_max": metrics.f_beta_curve(counts, BETA_SQUARED).max() if some else np.nan,
                "mae": metrics.mean_absolute_error(predicted, truth),
            }
        return Measured({key: float(value) for key, value in figures.items()}, counts)

    def summarise(self, measured: Sequence[Measured]) -> Summary:
        figures, defined = _means(measured)
        with_blur = [m.counts for m in measured if m.counts.blurred]
        if not with_blur:
            return Summary(figures | {"pooled_ap": np.nan}, defined)
        pooled = metrics.sum_counts(m.counts for m in measured)
        precision, recall = metrics.precision_recall(pooled)
        if self.name == "cuhk":
            figures["pooled_ap"] = metrics.average_precision_of_counts(pooled)
        else:
            curves = [metrics.f_beta_curve(counts, BETA_SQUARED) for counts in with_blur]
            figures["f_max"] = float(np.mean(curves, axis=0).max())
        return Summary(figures, defined, (recall, precision))

    def error(self, figures: dict[str, float]) -> float:
        """What photos are sorted by, the worst having the largest."""
        return 1.0 - figures["accuracy"] if self.name == "cuhk" else figures["mae"]


def _means(measured: Sequence[Measured]):
    """Means over the images on which a figure is defined, and how many those are."""
    figures, defined = {}, {}
    for key in measured[0].figures:
        values = np.array([m.figures[key] for m in measured])
        values = values[~np.isnan(values)]
        defined[key] = len(values)
        figures[key] = float(values.mean()) if len(values) else float("nan")
    return figures, defined

"""What a run is judged by while it trains: held-out synthetic examples and labelled photos."""

import cv2
import numpy as np

from dmenet_tf import metrics
from dmenet_tf.prediction.local import predict_defocus

PHOTO_FIGURES = ("photo_accuracy", "photo_ap", "photo_best")
LEVELS = 100  # of the precision-recall curve


class Validation:
    """Held-out examples, kept in memory, and the figures of a model on them.

    images [N, S, S, 3] and defocus [N, S, S, 1] float32; `labelled`: None, or a source of
    (image uint8 [H, W, 3], blurred float32 [H, W]), whose photos the model sees with their longer
    side reduced to `side` px (0: at their own size); its map is enlarged back to the photo.
    """

    counts: metrics.ThresholdCounts | None = None
    """Of the labelled photos' pixels together, at `LEVELS` + 1 thresholds, in the last `measure`;
    None where no photo has a blurred pixel."""

    def __init__(self, images: np.ndarray, defocus: np.ndarray, labelled=None, side: int = 0):
        self.images, self.defocus, self.labelled, self.side = images, defocus, labelled, side
        self.constant_mse = metrics.best_constant_mse(defocus)

    @property
    def names(self) -> list[str]:
        """Of the figures that `measure` gives."""
        photos = PHOTO_FIGURES if self.labelled is not None else ()
        return ["mse", "mae", "mse_ratio_to_constant", *photos]

    def predict(self, model) -> np.ndarray:
        """`defocus` of the synthetic images, one at a time: memory stays that of one image."""
        return np.concatenate([predict_defocus(model, image[None]) for image in self.images])

    def measure(self, model, predicted: np.ndarray) -> dict[str, float]:
        """Figures on both sets; `predicted` is what `predict` gave for the same weights.

        `mse`, `mae` and `mse_ratio_to_constant` (`mse` divided by that of the best constant map:
        above 1, a flat map would be better) on synthetic examples. On labelled photos, means over
        photos: `photo_accuracy` (Lee et al., section 4.2), `photo_ap` (average precision of
        "blurred") and `photo_best` (accuracy at the photo's best threshold).
        """
        figures = {
            "mse": metrics.mean_squared_error(predicted, self.defocus),
            "mae": metrics.mean_absolute_error(predicted, self.defocus),
        }
        # A set without any blur has no error to compare with.
        figures["mse_ratio_to_constant"] = figures["mse"] / max(self.constant_mse, 1e-12)
        if self.labelled is not None:
            figures |= self._measure_photos(model)
        return figures

    def error(self, figures: dict[str, float], best_by: str) -> float:
        """What the best checkpoint has least of: `mse`, or 1 - the mean of the photos' figures."""
        if best_by == "mse":
            return figures["mse"]
        return 1.0 - float(np.mean([figures[name] for name in PHOTO_FIGURES if name in figures]))

    def _measure_photos(self, model) -> dict[str, float]:
        named, counts = {name: [] for name in PHOTO_FIGURES}, []
        for index in range(len(self.labelled)):
            image, blurred = self.labelled.read(index)
            defocus = self._map_of_photo(model, image)
            named["photo_accuracy"].append(metrics.blur_accuracy(defocus, blurred))
            named["photo_best"].append(best_accuracy(defocus, blurred))
            if blurred.any():  # precision of a class that is absent is not defined
                named["photo_ap"].append(metrics.average_precision(defocus, blurred))
            # Enlarging rounds, by less than a threshold's step.
            counts.append(metrics.threshold_counts(np.clip(defocus, 0, 1), blurred, LEVELS))
        self.counts = metrics.sum_counts(counts)
        if not self.counts.blurred:
            self.counts = None
        return {name: float(np.mean(values)) for name, values in named.items() if values}

    def _map_of_photo(self, model, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = self.side / max(height, width)
        if 0 < scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        defocus = predict_defocus(model, image[None].astype(np.float32) / 255.0)[0, ..., 0]
        return cv2.resize(defocus, (width, height), interpolation=cv2.INTER_LINEAR)


def best_accuracy(defocus, blurred) -> float:
    """The largest share of pixels of one image that any threshold gets right.

    A pixel is blurred above the threshold, as in `metrics.blur_accuracy`; equal values stay on one
    side. Both [H, W], `blurred` binary.
    """
    order = np.argsort(defocus, axis=None)
    values, truth = np.ravel(defocus)[order], np.ravel(blurred)[order] > 0.5
    # Right if the first k of the sorted pixels are called sharp: sharp ones below, blurred above.
    right = np.concatenate([[0], np.cumsum(~truth) - np.cumsum(truth)]) + truth.sum()
    between = np.concatenate([[True], values[1:] > values[:-1], [True]])
    return float(right[between].max() / truth.size)

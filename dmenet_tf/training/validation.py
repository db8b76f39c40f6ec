"""What a run is judged by while it trains: held-out synthetic examples and labelled photos."""

import numpy as np

from dmenet_tf.evaluation import metrics
from dmenet_tf.prediction.local import predict_defocus


class Validation:
    """Held-out examples, kept in memory, and the figures of a model on them.

    images [N, S, S, 3] and defocus [N, S, S, 1] float32; `labelled`: None, or a source of
    (image uint8 [H, W, 3], blurred float32 [H, W]).
    """

    def __init__(self, images: np.ndarray, defocus: np.ndarray, labelled=None):
        self.images, self.defocus, self.labelled = images, defocus, labelled
        self.constant_mse = metrics.best_constant_mse(defocus)

    def predict(self, model) -> np.ndarray:
        """`defocus` of the synthetic images, one at a time: memory stays that of one image."""
        return np.concatenate([predict_defocus(model, image[None]) for image in self.images])

    def measure(self, model, predicted: np.ndarray) -> dict[str, float]:
        """Figures on both sets; `predicted` is what `predict` gave for the same weights.

        `mse`, `mae` and `mse_of_constant` (`mse` over the best constant map's) on synthetic
        examples; `photo_accuracy` (Lee et al., section 4.2) and `photo_ap` (average precision of
        "blurred", mean over photos) on labelled photos.
        """
        figures = {
            "mse": metrics.mean_squared_error(predicted, self.defocus),
            "mae": metrics.mean_absolute_error(predicted, self.defocus),
        }
        # A set without any blur has no error to compare with.
        figures["mse_of_constant"] = figures["mse"] / max(self.constant_mse, 1e-12)
        if self.labelled is not None:
            figures |= self._measure_photos(model)
        return figures

    def _measure_photos(self, model) -> dict[str, float]:
        accuracy, precision = [], []
        for index in range(len(self.labelled)):
            image, blurred = self.labelled.read(index)
            defocus = predict_defocus(model, image[None].astype(np.float32) / 255.0)[0, ..., 0]
            accuracy.append(metrics.blur_accuracy(defocus, blurred))
            if blurred.any():  # precision of a class that is absent is not defined
                precision.append(metrics.average_precision(defocus, blurred))
        figures = {"photo_accuracy": float(np.mean(accuracy))}
        if precision:
            figures["photo_ap"] = float(np.mean(precision))
        return figures

"""B on pictures of any size, on this machine.

`predict_defocus` runs a model on a batch. `Predictor` takes photos one by one and knows the unit.
"""

import contextlib
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf

from data_gen.optics import ENCODINGS
from dmenet_tf.networks.folding import fold
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.map_files import Metadata
from dmenet_tf.prediction.predictor import AnySizePredictor, as_float, pad_to_stride
from dmenet_tf.weights.load import TrainedModel, load_weights


class Predictor(AnySizePredictor):
    """Photos in, maps out, with the unit of the map.

    Args:
        weights: a run's folder, an .npz of the published layout, or a loaded model.
        tile, max_side: as for `AnySizePredictor`; "auto" chooses tiles from the photo's size and
            free memory.

    Raises FileNotFoundError and ValueError for weights that are none, and for bad options.
    """

    def __init__(self, weights: str | Path | TrainedModel, *, tile="auto", max_side=None):
        super().__init__(tile=tile, max_side=max_side)
        self.trained = weights if isinstance(weights, TrainedModel) else load_weights(weights)
        self._channels = self.trained.model.get_layer("conv1_1").filters
        self._forward = tf.function(
            fold(self.trained.model).__call__,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        )

    @property
    def metadata(self) -> Metadata:
        return Metadata.of(self.trained)

    def _side(self, height: int, width: int) -> int:
        if self.tile != "auto":
            return self.tile
        return tiling.automatic_side(height, width, self._channels, free_memory())

    def _predict_part(self, part, output):
        label = self._forward(tf.constant(as_float(part)[None])).numpy()[0, ..., 0]
        if output == "defocus":
            return label, self.metadata
        return ENCODINGS[self.encoding].label_to_sigma(label), self.metadata


def free_memory() -> int:
    """Bytes that can be had: of the machine, and of the container where it has a limit."""
    free = psutil.virtual_memory().available
    folder = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no container, or no limit ("max")
        limit, used = (int((folder / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, max(0, limit - used))
    return free


def predict_defocus(model, images) -> np.ndarray:
    """`defocus` [N, H, W, 1] float32 of RGB images [N, H, W, 3] in [0, 1], any H and W.

    The right and lower edges are mirrored up to a multiple of 16; nothing is resized.
    """
    images = np.asarray(images, np.float32)
    height, width = images.shape[1:3]
    padded = np.moveaxis(pad_to_stride(np.moveaxis(images, 0, 2)), 2, 0)
    return _forward(model, tf.constant(padded)).numpy()[:, :height, :width]


@tf.function(reduce_retracing=True)
def _forward(model, images):
    return model(images, training=False)["defocus"]

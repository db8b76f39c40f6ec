"""B on pictures of any size, on this machine.

`Predictor` takes photos one by one and knows the unit; `LocalBackend` is the network that it holds.
`predict_defocus` runs a model on a batch.
"""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf

from data_gen.io.pixels import as_float
from dmenet_tf.prediction import predictor, tiling
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import TileSide, pad_to_stride
from dmenet_tf.weights.load import TrainedModel, load_for_inference

# Calls that run operation by operation, before a graph is made of them: it takes 3 s to make and
# saves a tenth of each call. A first map must not wait for it.
GRAPH_AFTER = 8


class LocalBackend:
    """The network on this machine, a `predictor.Backend`.

    Args:
        weights: a run's folder, an .npz of the published layout, or a loaded model.
        precision: what it computes in: float32, or for devices that are faster so float16 or
            bfloat16.

    Raises FileNotFoundError where there are no weights, and ValueError for damaged ones.
    """

    settings: dict = {}

    def __init__(self, weights: str | Path | TrainedModel, precision: str = "float32"):
        self.trained = load_for_inference(weights, precision)
        self.metadata = Metadata.of(self.trained)
        self._operations = self.trained.model.as_operations()
        self._graph = tf.function(
            self.trained.model.__call__,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        )
        self._calls = itertools.count(1)

    def tile_side(self, height: int, width: int, wanted: TileSide) -> int:
        """`wanted`, or what the photo's size and free memory allow."""
        if wanted != "auto":
            return wanted
        return tiling.automatic_side(height, width, self.trained.model.channels, free_memory())

    def labels(self, part: np.ndarray) -> tuple[np.ndarray, Metadata]:
        # The same kernels, and maps of equal bits, either way.
        forward = self._graph if next(self._calls) > GRAPH_AFTER else self._operations
        labels = forward(tf.constant(as_float(part)[None])).numpy()[0, ..., 0]
        return labels, self.metadata

    def close(self) -> None:
        """Nothing: a network under way ends by itself."""


class Predictor(predictor.Predictor):
    """The same as `predictor.Predictor`, from weights (see `LocalBackend`)."""

    def __init__(self, weights: str | Path | TrainedModel, *, tile: TileSide = "auto"):
        predictor.check_tile(tile)  # before weights are read
        backend = LocalBackend(weights)
        super().__init__(backend, tile=tile)
        self.trained = backend.trained


def free_memory() -> int:
    """Available bytes: of the machine, and of the container if it has a limit."""
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

"""B on pictures of any size: padded to what the decoder needs, and cropped back."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from data_gen.optics import ENCODINGS
from dmenet_tf.config import DECODER_STRIDE
from dmenet_tf.weights import TrainedModel, load_weights


class Predictor:
    """Photos in, maps out, with the unit of the map.

    Args:
        weights: a run's folder, an .npz of the published layout, or a loaded model.
        tile: "auto", 0 for whole photos, or the side of a tile in pixels.
        max_side: photos are reduced to this longer side for speed; None for full size.
    """

    def __init__(self, weights: str | Path | TrainedModel, *, tile="auto", max_side=None):
        self.trained = weights if isinstance(weights, TrainedModel) else load_weights(weights)
        self.tile, self.max_side = tile, max_side

    @property
    def encoding(self) -> str:
        """Key of `data_gen.optics.ENCODINGS`: what `defocus` means."""
        return self.trained.encoding

    def defocus(self, image) -> np.ndarray:
        """The network's own label, [H, W] float32 in [0, 1], of an RGB image [H, W, 3].

        uint8, uint16, or float in [0, 1]. ValueError for anything else.
        """
        return predict_defocus(self.trained.model, as_float(image)[None])[0, ..., 0]

    def sigma_px(self, image) -> np.ndarray:
        """Sigma of the blur in pixels of `image`, [H, W] float32, through the encoding."""
        return ENCODINGS[self.encoding].label_to_sigma(self.defocus(image))


def as_float(image) -> np.ndarray:
    """An RGB image [H, W, 3] of uint8, uint16 or float in [0, 1] -> float32 in [0, 1]."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an image must be RGB, [H, W, 3]; received {list(image.shape)}")
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    if image.dtype.kind != "f":
        raise ValueError(f"an image must be uint8, uint16 or float; received {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise ValueError(
            f"an image of floats must lie in [0, 1]; received values from {low:g} to {high:g}"
        )
    return image.astype(np.float32, copy=False)


def predict_defocus(model, images) -> np.ndarray:
    """`defocus` [N, H, W, 1] float32 of RGB images [N, H, W, 3] in [0, 1], any H and W.

    The right and lower edges are mirrored up to a multiple of 16; nothing is resized.
    """
    images = np.asarray(images, np.float32)
    height, width = images.shape[1:3]
    pad = [(0, 0), (0, -height % DECODER_STRIDE), (0, -width % DECODER_STRIDE), (0, 0)]
    padded = np.pad(images, pad, mode="symmetric")
    return _forward(model, tf.constant(padded)).numpy()[:, :height, :width]


@tf.function(reduce_retracing=True)
def _forward(model, images):
    return model(images, training=False)["defocus"]

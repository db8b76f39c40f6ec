"""B on pictures of any size: padded to what the decoder needs, in tiles where large, cropped back.

`predict_defocus` runs a model on a batch. `Predictor` takes photos one by one and knows the unit.
"""

import contextlib
from pathlib import Path

import cv2
import numpy as np
import psutil
import tensorflow as tf

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf import tiling
from dmenet_tf.config import DECODER_STRIDE
from dmenet_tf.folding import fold
from dmenet_tf.upsampling import upsample_guided
from dmenet_tf.weights import TrainedModel, load_weights


class Predictor:
    """Photos in, maps out, with the unit of the map.

    Args:
        weights: a run's folder, an .npz of the published layout, or a loaded model.
        tile: the side in pixels, a multiple of 16, of the tiles in which large photos are
            predicted; 0 for whole photos; "auto" chooses from the photo's size and free memory.
            It changes memory and time; maps are the same but for rounding (`tiling.py`).
        max_side: a photo whose longer side is above this is reduced to it, for speed, and its map
            is brought back to full size along the photo's edges; None for full size. Blur below
            a pixel of the reduced photo cannot be told from none.

    Raises FileNotFoundError and ValueError for weights that are none, and for bad options.
    """

    def __init__(self, weights: str | Path | TrainedModel, *, tile="auto", max_side=None):
        check_options(tile, max_side)
        self.trained = weights if isinstance(weights, TrainedModel) else load_weights(weights)
        self.tile, self.max_side = tile, max_side
        self._channels = self.trained.model.get_layer("conv1_1").filters
        self._forward = tf.function(
            fold(self.trained.model).__call__,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        )

    @property
    def encoding(self) -> str:
        """Key of `data_gen.optics.ENCODINGS`: what `defocus` means."""
        return self.trained.encoding

    def scale(self, height: int, width: int) -> float:
        """How much a photo of this size is reduced before B sees it; 1 where it is not."""
        longer = max(height, width)
        return 1.0 if self.max_side is None else min(1.0, self.max_side / longer)

    def largest_sigma_px(self, height: int, width: int) -> float:
        """The largest sigma that a map of this photo can hold: 7 px of what B sees."""
        return SIGMA_MAX_PX / self.scale(height, width)

    def defocus(self, image) -> np.ndarray:
        """The network's own label, [H, W] float32 in [0, 1], of an RGB image [H, W, 3].

        The image is uint8, uint16, or float in [0, 1]; ValueError for anything else. With a photo
        reduced by `max_side`, the label of `sigma_px`, clipped to that of 7 px.
        """
        image = check_image(image)
        if self.scale(*image.shape[:2]) == 1.0:
            return self._label(image)
        label = ENCODINGS[self.encoding].sigma_to_label(self._sigma_of_reduced(image))
        return np.minimum(label, 1.0).astype(np.float32)

    def sigma_px(self, image) -> np.ndarray:
        """Sigma of the blur in pixels of `image`, [H, W] float32, through the encoding.

        At most 7 px; with a photo reduced by `max_side` by a factor s, at most 7/s px, since
        a pixel of the reduced photo is 1/s of its own.
        """
        image = check_image(image)
        if self.scale(*image.shape[:2]) == 1.0:
            return ENCODINGS[self.encoding].label_to_sigma(self._label(image))
        return self._sigma_of_reduced(image)

    def _sigma_of_reduced(self, image: np.ndarray) -> np.ndarray:
        scale = self.scale(*image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        # Averages over each pixel's footprint: no aliasing, which would look sharp.
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        sigma = ENCODINGS[self.encoding].label_to_sigma(self._label(small))
        return upsample_guided(sigma, small, image) / np.float32(scale)

    def _label(self, image: np.ndarray) -> np.ndarray:
        padded = pad_to_stride(image)
        height, width = padded.shape[:2]
        side = self.tile
        if side == "auto":
            side = tiling.automatic_side(height, width, self._channels, free_memory())
        label = np.empty((height, width), np.float32)
        for rows in tiling.tiles(height, side):
            for columns in tiling.tiles(width, side):
                part = as_float(padded[rows.start : rows.stop, columns.start : columns.stop])
                predicted = self._forward(tf.constant(part[None])).numpy()[0, ..., 0]
                label[rows.kept, columns.kept] = predicted[rows.kept_inside, columns.kept_inside]
        return label[: image.shape[0], : image.shape[1]]


def check_options(tile, max_side) -> None:
    """ValueError where `tile` or `max_side` is none that `Predictor` takes; needs no weights."""
    if tile != "auto":
        tiling.check_side(tile)
    if max_side is not None and max_side < DECODER_STRIDE:
        raise ValueError(f"max_side must be at least {DECODER_STRIDE} px; received {max_side}")


def check_image(image) -> np.ndarray:
    """An RGB image as `Predictor` takes it; ValueError for anything else."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"an image must be RGB, [H, W, 3]; received {list(image.shape)}")
    if image.dtype in (np.uint8, np.uint16):
        return image
    if image.dtype.kind != "f":
        raise ValueError(f"an image must be uint8, uint16 or float; received {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise ValueError(
            f"an image of floats must lie in [0, 1]; received values from {low:g} to {high:g}"
        )
    return image.astype(np.float32, copy=False)


def as_float(image: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float in [0, 1] -> float32 in [0, 1]."""
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def pad_to_stride(image: np.ndarray) -> np.ndarray:
    """[H, W, ...] with its right and lower edges mirrored up to multiples of 16."""
    pad = [(0, -side % DECODER_STRIDE) for side in image.shape[:2]]
    return np.pad(image, pad + [(0, 0)] * (image.ndim - 2), mode="symmetric")


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

"""Photos of any size in, maps out: what local and served prediction have in common.

A photo is checked, reduced where `max_side` asks for it, padded to what the decoder needs, and cut
into tiles where it is large; `AnySizePredictor` does that, and leaves to those that inherit how a
part, of sides that are multiples of 16, is predicted. `dmenet_tf.prediction.local.Predictor` runs
the network, `serving.client.RemotePredictor` asks a server. Imports no TensorFlow.
"""

import abc
import dataclasses
from typing import Literal, NamedTuple

import cv2
import numpy as np

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.map_files import Metadata
from dmenet_tf.prediction.upsampling import upsample_guided

Output = Literal["defocus", "sigma_px"]


class Prediction(NamedTuple):
    """A map with what must be known about it."""

    sigma_px: np.ndarray
    """[H, W] float32, in pixels of the photo."""
    metadata: Metadata
    """Of the model that made this map; `sigma_max_px` is the largest that the map can hold."""


class ModelChanged(Exception):
    """The parts of one photo came from two models: together they are no map."""


class AnySizePredictor(abc.ABC):
    """The way from a photo to its map.

    Args:
        tile: the side in pixels, a multiple of 16, of the tiles in which large photos are
            predicted; 0 for whole photos; "auto" leaves the choice to the predictor.
            It changes memory and time; maps are the same but for rounding (`tiling.py`).
        max_side: a photo whose longer side is above this is reduced to it, for speed, and its map
            is brought back to full size along the photo's edges; None for full size. Blur below
            a pixel of the reduced photo cannot be told from none.

    An image is RGB [H, W, 3], uint8, uint16, or float in [0, 1]; ValueError for anything else.
    """

    def __init__(self, *, tile="auto", max_side=None):
        check_options(tile, max_side)
        self.tile, self.max_side = tile, max_side

    @property
    @abc.abstractmethod
    def metadata(self) -> Metadata:
        """Of the model's maps at full size."""

    @abc.abstractmethod
    def _side(self, height: int, width: int) -> int:
        """The kept side of tiles for a padded photo of this size; 0: the whole photo."""

    @abc.abstractmethod
    def _predict_part(self, part: np.ndarray, output: Output) -> tuple[np.ndarray, Metadata]:
        """`output` of a part [h, w, 3], h and w multiples of 16: [h, w] float32, and its model."""

    def close(self) -> None:  # noqa: B027, there may be nothing to end
        """Ends what is under way, where there is something that another thread can end."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def encoding(self) -> str:
        """Key of `data_gen.optics.ENCODINGS`: what `defocus` means."""
        return self.metadata.encoding

    def scale(self, height: int, width: int) -> float:
        """How much a photo of this size is reduced before B sees it; 1 where it is not."""
        longer = max(height, width)
        return 1.0 if self.max_side is None else min(1.0, self.max_side / longer)

    def largest_sigma_px(self, height: int, width: int) -> float:
        """The largest sigma that a map of this photo can hold: 7 px of what B sees."""
        return SIGMA_MAX_PX / self.scale(height, width)

    def defocus(self, image) -> np.ndarray:
        """The network's own label, [H, W] float32 in [0, 1], of an image.

        With a photo reduced by `max_side`, the label of `sigma_px`, clipped to that of 7 px.
        """
        image = check_image(image)
        if self.scale(*image.shape[:2]) == 1.0:
            return self._in_parts(image, "defocus")[0]
        sigma_px, metadata = self._of_reduced(image)
        label = ENCODINGS[metadata.encoding].sigma_to_label(sigma_px)
        return np.minimum(label, 1.0).astype(np.float32)

    def sigma_px(self, image) -> np.ndarray:
        """Sigma of the blur in pixels of `image`, [H, W] float32, through the encoding.

        At most 7 px; with a photo reduced by `max_side` by a factor s, at most 7/s px, since
        a pixel of the reduced photo is 1/s of its own.
        """
        return self.predict(image).sigma_px

    def predict(self, image) -> Prediction:
        """`sigma_px` of an image, and which model made it."""
        image = check_image(image)
        size = image.shape[:2]
        if self.scale(*size) == 1.0:
            sigma_px, metadata = self._in_parts(image, "sigma_px")
        else:
            sigma_px, metadata = self._of_reduced(image)
        largest = self.largest_sigma_px(*size)
        return Prediction(sigma_px, dataclasses.replace(metadata, sigma_max_px=largest))

    def _of_reduced(self, image: np.ndarray) -> tuple[np.ndarray, Metadata]:
        scale = self.scale(*image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        # Averages over each pixel's footprint: no aliasing, which would look sharp.
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        sigma_px, metadata = self._in_parts(small, "sigma_px")
        return upsample_guided(sigma_px, small, image) / np.float32(scale), metadata

    def _in_parts(self, image: np.ndarray, output: Output) -> tuple[np.ndarray, Metadata]:
        padded = pad_to_stride(image)
        height, width = padded.shape[:2]
        side = self._side(height, width)
        values = np.empty((height, width), np.float32)
        made_by = None
        for rows in tiling.tiles(height, side):
            for columns in tiling.tiles(width, side):
                part = padded[rows.start : rows.stop, columns.start : columns.stop]
                predicted, metadata = self._predict_part(part, output)
                if made_by not in (None, metadata):
                    raise ModelChanged(f"model {made_by.model} was replaced by {metadata.model}")
                made_by = metadata
                values[rows.kept, columns.kept] = predicted[rows.kept_inside, columns.kept_inside]
        return values[: image.shape[0], : image.shape[1]], made_by


def check_options(tile, max_side) -> None:
    """ValueError where `tile` or `max_side` is none that a predictor takes; needs no model."""
    if tile != "auto":
        tiling.check_side(tile)
    if max_side is not None and max_side < SIZE_MULTIPLE:
        raise ValueError(f"max_side must be at least {SIZE_MULTIPLE} px; received {max_side}")


def check_image(image) -> np.ndarray:
    """An RGB image as a predictor takes it; ValueError for anything else."""
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
    pad = [(0, -side % SIZE_MULTIPLE) for side in image.shape[:2]]
    return np.pad(image, pad + [(0, 0)] * (image.ndim - 2), mode="symmetric")

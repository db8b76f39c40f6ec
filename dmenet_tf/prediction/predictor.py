"""Photos of any size in, maps out.

A `Predictor` checks an image, reduces it to the max side, pads it to what the decoder needs, cuts
it into tiles where it is large, and turns labels into sigma: each here, once. It holds a `Backend`,
which labels a part: the network on this machine (`dmenet_tf.prediction.local`) or a server
(`serving.client`). Imports no TensorFlow.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.upsampling import (
    SMOOTHING_EPSILON,
    smoothing_radius,
    upsample_guided,
)

TileSide = int | Literal["auto"]
_MANY_TILES = 10  # of which the progress is worth showing
_ONE_MODEL_TRIES = 3  # a photo whose parts met a new model is predicted again


class Backend(Protocol):
    """Labels parts of photos; threads may share one that says so."""

    @property
    def metadata(self) -> Metadata:
        """Of the model that labels."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What labels depend on besides the model, {name: value}."""
        ...

    def tile_side(self, height: int, width: int, wanted: TileSide) -> int:
        """The kept side of tiles for a padded photo of this size; 0: the whole photo.

        wanted: a multiple of 16, 0 for whole photos if possible, or "auto".
        """
        ...

    def labels(self, part: np.ndarray) -> tuple[np.ndarray, Metadata]:
        """The network's labels of a part, and the model that made them.

        part: RGB [h, w, 3], h and w multiples of 16; uint8, uint16, or float32 in [0, 1].
        Returns [h, w] float32 in [0, 1], in the model's encoding.
        """
        ...

    def close(self) -> None:
        """Ends what is under way, where another thread can."""
        ...


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A map with what must be known about it."""

    sigma_px: np.ndarray
    """[H, W] float32: sigma of the blur in pixels of the photo."""
    defocus: np.ndarray
    """[H, W] float32 in [0, 1]: the network's label, in `metadata.encoding`. Of a reduced photo,
    the label of `sigma_px`, at most that of 7 px."""
    metadata: Metadata
    """Of the model that made the map, with the map's own `sigma_max_px` and `max_side`."""
    scale: float
    """The factor by which the photo was reduced for the network; 1 where it was not."""


class ModelChanged(ConnectionError):
    """The parts of one photo came from two models: together they are no map."""

    code = "ABORTED"  # as gRPC calls it


class Predictor:
    """The way from a photo to its map.

    Args:
        backend: what labels the parts of a photo.
        tile: the side in pixels, a multiple of 16, of the tiles in which large photos are
            predicted; 0 for whole photos; "auto" leaves the choice to the backend.
            It changes memory and time; maps are the same but for rounding (`tiling.py`).

    An image is RGB [H, W, 3], uint8, uint16, or float in [0, 1]; ValueError for anything else.

    `max_side`, of each call: a photo whose longer side is above it is reduced to it, and its map
    is brought back to full size along the photo's edges. 0 is full size; None is the size that the
    model recommends, or full size where it recommends none. Blur below a pixel of the reduced photo
    cannot be told from none.

    `progress`: `progress(tiles, total=)` wraps the tiles of a photo of many, as tqdm does; none are
    shown where it is None.
    """

    progress: Callable[..., Iterable] | None = None

    def __init__(self, backend: Backend, *, tile: TileSide = "auto"):
        check_tile(tile)
        self.backend = backend
        self.tile: TileSide = tile

    @property
    def metadata(self) -> Metadata:
        """Of the model's maps at full size."""
        return self.backend.metadata

    @property
    def encoding(self) -> str:
        """Key of `data_gen.optics.ENCODINGS`: what `defocus` means."""
        return self.metadata.encoding

    def close(self) -> None:
        self.backend.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def sigma_px(self, image, *, max_side: int | None = None) -> np.ndarray:
        """`Prediction.sigma_px` of an image: at most 7 px, or 7/s px where it is reduced by s."""
        return self.predict(image, max_side=max_side).sigma_px

    def defocus(self, image, *, max_side: int | None = None) -> np.ndarray:
        """`Prediction.defocus` of an image."""
        return self.predict(image, max_side=max_side).defocus

    def predict(self, image, *, max_side: int | None = None) -> Prediction:
        """The map of an image, and which model made it at which size."""
        image = check_image(image)
        check_max_side(max_side)
        changed = None
        for _ in range(_ONE_MODEL_TRIES):
            try:
                return self._predict(image, max_side)
            except ModelChanged as error:
                changed = error
        raise ModelChanged(
            f"the map of a photo must come from one model; {changed}, {_ONE_MODEL_TRIES} times in "
            "a row: ask for a version or a label"
        )

    def _predict(self, image: np.ndarray, max_side: int | None) -> Prediction:
        # A server is not asked for its model where the size is given.
        side = resolved_side(None, self.metadata) if max_side is None else max_side or None
        scale = scale_to(side, *image.shape[:2])
        seen = reduced(image, scale)
        labels, model = self._labels(seen)
        if max_side is None and resolved_side(None, model) != side:
            raise ModelChanged(f"a model of another recommended size, {model.model}, came")
        encoding = ENCODINGS[model.encoding]
        sigma_px = encoding.label_to_sigma(labels)
        if scale != 1.0:
            # A pixel of the reduced photo is 1 / scale of the photo's own.
            radius = smoothing_radius(sigma_px)
            sigma_px = upsample_guided(sigma_px, seen, image, radius, SMOOTHING_EPSILON)
            sigma_px /= np.float32(scale)
            labels = np.minimum(encoding.sigma_to_label(sigma_px), 1.0).astype(np.float32)
        metadata = dataclasses.replace(model, sigma_max_px=SIGMA_MAX_PX / scale, max_side=side)
        return Prediction(sigma_px, labels, metadata, scale)

    def _labels(self, image: np.ndarray) -> tuple[np.ndarray, Metadata]:
        """Labels [H, W] of an image of any size, padded and in tiles, and their one model."""
        padded = pad_to_stride(image)
        height, width = padded.shape[:2]
        side = self.backend.tile_side(height, width, self.tile)
        labels = np.empty((height, width), np.float32)
        model: Metadata | None = None
        tiles = list(itertools.product(tiling.tiles(height, side), tiling.tiles(width, side)))
        shown = self.progress is not None and len(tiles) >= _MANY_TILES
        for rows, columns in self.progress(tiles, total=len(tiles)) if shown else tiles:
            part = padded[rows.start : rows.stop, columns.start : columns.stop]
            predicted, made_by = self.backend.labels(part)
            if model not in (None, made_by):
                raise ModelChanged(f"model {model.model} was replaced by {made_by.model}")
            model = made_by
            labels[rows.kept, columns.kept] = predicted[rows.kept_inside, columns.kept_inside]
        assert model is not None  # there is at least one tile
        return labels[: image.shape[0], : image.shape[1]], model


# --- sizes -----------------------------------------------------------------------------------


def check_tile(tile) -> None:
    """ValueError where `tile` is none that a predictor takes; needs no model."""
    if tile != "auto":
        tiling.check_side(tile)


def check_max_side(max_side) -> None:
    """ValueError where `max_side` is none that a predictor takes; needs no model."""
    if max_side is None or max_side == 0:
        return
    if isinstance(max_side, bool) or not max_side >= SIZE_MULTIPLE:
        raise ValueError(
            f"max_side must be at least {SIZE_MULTIPLE} px, or 0 for full size; received {max_side}"
        )


def resolved_side(max_side: int | None, model: Metadata) -> int | None:
    """The longer side to which larger photos are reduced; None: full size.

    model: whose recommendation is taken where `max_side` is None.
    """
    return (model.recommended_side if max_side is None else max_side) or None


def scale_to(side: int | None, height: int, width: int) -> float:
    """By which a photo of this size is reduced; 1 where it is not."""
    return 1.0 if side is None else min(1.0, side / max(height, width))


def reduced_size(shape, scale: float) -> tuple[int, int]:
    """Height and width of a picture of this shape, reduced by `scale`: at least one pixel each."""
    height, width = (max(1, round(side * scale)) for side in shape[:2])
    return height, width


def reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """A picture [H, W, ...], averaged down by `scale`, at most 1."""
    height, width = reduced_size(image.shape, scale)
    if (height, width) == image.shape[:2]:
        return image
    # Averages over each pixel's footprint: no aliasing, which would look sharp.
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


# --- images ----------------------------------------------------------------------------------


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


def pad_to_stride(image: np.ndarray) -> np.ndarray:
    """[H, W, ...] with its right and lower edges mirrored up to multiples of 16."""
    pad = [(0, -side % SIZE_MULTIPLE) for side in image.shape[:2]]
    return np.pad(image, pad + [(0, 0)] * (image.ndim - 2), mode="symmetric")

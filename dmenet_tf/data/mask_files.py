"""Binary masks in files: one reader for training, evaluation and checks.

A mask holds two values, whichever: 0 and 255, 0 and 1, 0 and 100. The larger one is what a polarity
calls 255. Which number of a pixel that is:

| file | value |
| --- | --- |
| grey, of any depth | as stored |
| colours of a palette | the index; the grey level where the colours in use are all grey |
| colours | lightness; both classes must be of one colour |
| alpha over a constant colour | alpha |

JPEG noise and smoothed outlines around two values are allowed. A third value that fills regions is
not: a trimap, an "ignore" label or a map of probabilities has no two classes. A mask of one value
v is 0 where v = 0 and 1 where v is the type's largest; any other v takes its meaning from a mask
of the collection that has two values.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from data_gen.io import decoding
from data_gen.io.errors import DataFileError
from data_gen.io.images import decode_stored, read_bytes
from data_gen.io.photos import is_deep

RULE = "a mask must hold two values, one for blurred and one for in focus"
ALPHA, INDEX, VALUE = "alpha", "palette index", "value"
# Of the pixels: JPEG noise and smoothed outlines leave fewer between the two values.
BETWEEN_SHARE_MAX = 0.1
# Regions between the two values, after 2 px off all around, in which no outline remains.
REGION_SHARE_MAX, REGION_SIDE_PX = 0.001, 5
# A file of so few values holds labels, and each counts.
LABELS_MAX = 16
NOISE_SHARE = 1 / 8  # of the range: values as near as this are noise around one
SHOWN = 5
_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000")


class Mask(NamedTuple):
    """A mask as stored: `plane` [H, W] of numbers, which hold one or two `levels`, ascending.

    `full`: the largest value of the type; None for indices. `kind`: ALPHA, INDEX or VALUE. `either`
    holds the other reading, of alpha, where a constant colour and a constant alpha contradict.
    """

    plane: np.ndarray
    levels: tuple[float, ...]
    full: float | None
    kind: str
    path: object
    either: "Mask | None" = None

    @property
    def described(self) -> str:
        """As "the values 0 and 255", for messages."""
        title = f"{self.kind}s" if len(self.levels) > 1 else self.kind
        title = title.replace("indexs", "indices")
        return f"the {title} " + " and ".join(f"{level:g}" for level in self.levels)

    def is_high(self, like: Callable[[], "Mask | None"] = lambda: None) -> np.ndarray:
        """bool [H, W]: where the larger value is.

        like: gives a mask of the same collection that has two values, or None; asked only for a
            mask of one value that does not speak for itself.
        Raises:
            DataFileError: neither does tell.
        """
        if len(self.levels) == 2:
            return self.plane > sum(self.levels) / 2
        other = like() if self.either or self.levels[0] not in (0, self.full) else None
        if self.either and other is not None and other.kind == ALPHA:
            return self.either.is_high()
        level = self.levels[0]
        if level not in (0, self.full):
            if other is None or other.kind != self.kind:
                raise DataFileError(
                    f"{self.path}: {RULE}; received {self.described} alone, which is neither 0 nor "
                    "the largest possible, and no mask beside it tells which class that is"
                )
            level = level > sum(other.levels) / 2
        return np.full(self.plane.shape, bool(level))


def read_mask(path) -> Mask:
    """Reads a mask, upright. Raises `DataFileError`, naming the file, its values and the rule."""
    data = read_bytes(path)
    try:
        image, data = decoding.decode(data, path)
        stored_as = image.format
        deep = image.mode == "RGB" and is_deep(image, data)
        image = ImageOps.exif_transpose(image)
    except DataFileError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every exception type
        raise DataFileError(f"{path}: must be a complete, valid image file ({error})") from error
    lossless = stored_as not in _LOSSY
    if image.mode in ("P", "PA"):
        return _of_palette(image, path)
    if image.mode in ("LA", "La", "RGBA", "RGBa"):
        return _of_alpha(np.asarray(image.convert("RGBA")), lossless, path)
    if image.mode == "1":
        image = image.convert("L")
    if image.mode[0] in "IFL" and image.mode != "LAB":
        return _mask(np.asarray(image), VALUE, lossless, path)
    colours = decode_stored(data, path) if deep else np.asarray(image.convert("RGB"))
    return _of_colours(colours, lossless, path)


# --- which number of a pixel it is -------------------------------------------------------------


def _of_palette(image: Image.Image, path) -> Mask:
    indices = np.asarray(image.getchannel("P") if image.mode == "PA" else image)
    rgba = np.asarray(image.convert("RGBA"))
    several = len(np.unique(indices)) > 1
    if several and _is_constant(rgba[..., :3]) and not _is_constant(rgba[..., 3:]):
        return _mask(rgba[..., 3], ALPHA, True, path)
    palette = np.reshape(image.getpalette("RGB"), (-1, 3))
    # Of one index alone, the whole palette tells whether it stands for a colour or a label.
    in_use = rgba[..., :3].reshape(-1, 3) if several else palette
    if (in_use == in_use[:, :1]).all():
        return _mask(rgba[..., 0], VALUE, True, path)
    return _mask(indices, INDEX, True, path)


def _of_alpha(rgba: np.ndarray, lossless: bool, path) -> Mask:
    colours, alpha = rgba[..., :3], rgba[..., 3]
    if not _is_constant(colours):
        return _of_colours(colours, lossless, path)
    if alpha.min() < 255:
        return _mask(alpha, ALPHA, lossless, path)
    of_colour = _of_colours(colours, lossless, path)
    return of_colour._replace(either=_mask(alpha, ALPHA, lossless, path))


def _of_colours(rgb: np.ndarray, lossless: bool, path) -> Mask:
    if (rgb == rgb[..., :1]).all():
        return _mask(rgb[..., 0], VALUE, lossless, path)
    lightness = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    mask = _mask(lightness, VALUE, lossless, path)
    limit = np.iinfo(rgb.dtype).max / 4
    high = mask.is_high(lambda: mask._replace(levels=(0, mask.levels[0])))
    for part in (high, ~high):
        if part.any():
            colour = np.median(rgb[part], axis=0)
            away = part & (np.abs(rgb - colour).max(axis=2) > limit)
            if _fills_regions(away):
                raise DataFileError(
                    f"{path}: {RULE}; received colours of which several are equally light: "
                    f"{', '.join(_common_colours(rgb))}"
                )
    return mask


def _is_constant(array: np.ndarray) -> bool:
    return bool((array == array[:1, :1]).all())


def _common_colours(rgb: np.ndarray) -> list[str]:
    colours, counts = np.unique(rgb.reshape(-1, 3), axis=0, return_counts=True)
    return ["/".join(map(str, colours[i])) for i in np.argsort(-counts)[:3]]


# --- which two values they are -----------------------------------------------------------------


def _mask(plane: np.ndarray, kind: str, lossless: bool, path) -> Mask:
    if plane.dtype.kind == "f":
        full = 1.0
        if not np.isfinite(plane).all():
            raise DataFileError(f"{path}: {RULE}; received NaN or infinite ones")
    else:
        # Pillow widens 16 bits to 32 in some files.
        wide = plane.dtype.itemsize > 2 and plane.max() <= 65535
        full = 65535.0 if wide else float(np.iinfo(plane.dtype).max)
    levels = _levels(plane, lossless, full, path)
    return Mask(plane, levels, None if kind == INDEX else full, kind, path)


def _levels(plane: np.ndarray, lossless: bool, full: float, path) -> tuple[float, ...]:
    """The one or two values around which all pixels lie; `DataFileError` for more."""
    values, counts = _histogram(plane)
    low, high = float(values[0]), float(values[-1])
    span = high - low
    labels = lossless and len(values) <= LABELS_MAX
    near_white = low >= full * (1 - NOISE_SHARE)
    if len(values) == 1 or (span < full * NOISE_SHARE and (near_white or not labels)):
        # Noise around one value; around the ends of the range it is theirs.
        common = float(values[counts.argmax()])
        ends = full if near_white else 0.0 if high < full * NOISE_SHARE else common
        return (common if len(values) == 1 else ends,)
    if labels and len(values) == 2:
        return low, high
    # Labels count from 0; values a little below the largest are no labels, but noise.
    above = plane > low + (0 if labels else span / 4)
    if _fills_regions(above & (plane < high - span / 4)):
        common = sorted(np.argsort(-counts)[:SHOWN])
        shown = ", ".join(f"{values[i]:g} ({counts[i] / plane.size:.0%})" for i in common)
        more = ", ..." if len(values) > SHOWN else ""
        raise DataFileError(f"{path}: {RULE}; received {len(values)}: {shown}{more}")
    return low, high


def _histogram(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values that occur, how often), as `np.unique`, which would sort all pixels of a photo."""
    if plane.dtype.kind != "u" or plane.dtype.itemsize > 2:
        return np.unique(plane, return_counts=True)
    counts = np.bincount(plane.ravel())
    values = np.flatnonzero(counts)
    return values, counts[values]


def _fills_regions(pixels: np.ndarray) -> bool:
    """Whether pixels that should be noise and outlines are more than that."""
    if pixels.mean() > BETWEEN_SHARE_MAX:
        return True
    kernel = np.ones((REGION_SIDE_PX, REGION_SIDE_PX), np.uint8)
    return cv2.erode(pixels.astype(np.uint8), kernel).mean() > REGION_SHARE_MAX

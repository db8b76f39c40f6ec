"""What the page shows of a photo, without the page: the map asked for, pictures, words, errors.

The server is asked once a photo (`analyse`); everything else is made from what it answered.

Pictures on the page are at most `VIEW_SIDE_PX`: the photo is averaged down, the map is sampled at
single pixels, so that a value read on the page is exactly the map's at the pixel that is named
beside it. `sigma_px` stays in pixels of the photo.
"""

import base64
import io
import os
import tempfile
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_gen.io.arrays import write_npy
from data_gen.io.data_urls import data_url
from data_gen.io.images import read_bytes
from data_gen.io.photos import decode_photo
from data_gen.io.pixels import to_uint8
from dmenet_tf.applications.deblur import deblur
from dmenet_tf.applications.magnify import magnify
from dmenet_tf.applications.planes import follow_edges, sharp_level, without_floor
from dmenet_tf.applications.refocus import refocus, sigma_at
from dmenet_tf.applications.segment import cut_out, sharp_mask
from dmenet_tf.prediction import predictor
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.visualization import (
    INFERNO,
    ColourRange,
    colour_map,
    overlay,
    own_range,
    ticks,
)
from serving.contract import PNG_MAX
from serving.web.words import explain, word_below

MAX_PHOTO_PIXELS = 60_000_000
VIEW_SIDE_PX = 1280
# Magnified blur costs with area and with sigma, so with the third power of the side; deblurring is
# slower still.
MAGNIFIED_SIDE_PX = DEBLURRED_SIDE_PX = 640
COLOUR_STEPS = 16  # of the scale's gradient
TEMPORARY = "GRADIO_TEMP_DIR"  # the page's own folder, which goes with it
STEM_MAX = 100  # of a file's name
TICKS = 6  # of the scale, at most one more


class PageError(Exception):
    """What the page says instead of a result; plain text."""


@dataclass(frozen=True)
class Analysis:
    """A photo and its map, as the page keeps them."""

    photo_height: int
    photo_width: int
    photo: np.ndarray
    """uint8 [h, w, 3], at most VIEW_SIDE_PX."""
    sigma_px: np.ndarray
    """float32 [h, w], in pixels of the whole photo, at the pixels that `sampled` takes."""
    scale: float
    """By which the network's picture was reduced; its pixel is 1 / scale of the photo's."""
    largest_px: float
    """The largest sigma that the map could hold."""
    figures: dict
    """`dmenet_tf.prediction.summaries.measure` of the whole map."""
    metadata: Metadata
    """Of the map."""
    map_file: Path
    """The whole map, `sigma_px` as float32 in an .npy, in a folder of its own."""
    notes: tuple[str, ...] = ()
    """Of reading the photo: plain text."""


@dataclass(frozen=True)
class Colours:
    """How maps are coloured: what was chosen on the page."""

    name: str = INFERNO
    """Of `dmenet_tf.visualization.COLOUR_MAPS`."""
    bright_px: float | None = None
    """The sigma at the bright end, from 0; None for each map's own range, as in the files of
    `dmenet predict`."""

    def range_of(self, analysis: Analysis) -> ColourRange:
        if self.bright_px is None:
            return own_range(analysis.sigma_px, analysis.largest_px)
        return ColourRange(0.0, self.bright_px)

    def share(self, analysis: Analysis) -> np.ndarray:
        """Where each pixel's sigma lies between the ends of the colours."""
        return self.range_of(analysis).share(analysis.sigma_px)

    def draw(self, analysis: Analysis) -> np.ndarray:
        """The map in colours: uint8 [h, w, 3]."""
        return colour_map(self.share(analysis), self.name)


OWN = Colours()


# --- asking the server -----------------------------------------------------------------------


def analyse(path, estimator, max_side: int | None, default_side: int) -> Analysis:
    """Reads a photo and asks for its map; `PageError` says in plain words what went wrong.

    estimator: a `dmenet_tf.Estimator`. max_side: the photo is reduced to it; 0 for full size; None
    for what the model recommends, or `default_side`.
    """
    notes: list[str] = []
    try:
        image = decode_photo(read_bytes(path), Path(path).name, MAX_PHOTO_PIXELS, notes.append)
        if max_side is None:
            max_side = estimator.metadata.recommended_side or default_side
        result = estimator(image, max_side=max_side)
    except ConnectionError as error:
        raise PageError(explain(error)) from error
    except (ValueError, OSError) as error:
        raise PageError(f"This file cannot be used. {error}") from error
    except MemoryError as error:
        raise PageError("This photo needs more memory than there is: try a smaller one.") from error
    height, width = image.shape[:2]
    return Analysis(
        photo_height=height,
        photo_width=width,
        photo=to_uint8(reduced(image, VIEW_SIDE_PX)),
        sigma_px=sampled(result.sigma_px, VIEW_SIDE_PX),
        scale=result.prediction.scale,
        largest_px=result.metadata.sigma_max_px,
        figures=result.figures(),
        metadata=result.metadata,
        map_file=_kept(result, Path(path).stem),
        notes=tuple(notes),
    )


def _kept(result, stem: str) -> Path:
    """The map in a file: in memory, those of all sessions would be too much."""
    parent = Path(os.environ.get(TEMPORARY) or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    return result.save(folder / f"{stem[:STEM_MAX]}{SUFFIXES['npy']}", "npy")


def files(analysis: Analysis, colours: Colours = OWN) -> list[str]:
    """The whole map as files to keep, as `dmenet predict` writes them: colours, 16 bit, numbers."""
    stem = analysis.map_file.name.removesuffix(SUFFIXES["npy"])
    paths = [analysis.map_file.with_name(stem + SUFFIXES[format]) for format in ("colour", "png16")]
    sigma_px = np.load(analysis.map_file)
    ends = None if colours.bright_px is None else colours.range_of(analysis)
    for path, format in zip(paths, ("colour", "png16"), strict=True):
        write_map(path, format, sigma_px, analysis.metadata, None, ends, colours.name)
    return [str(path) for path in (*paths, analysis.map_file)]


def reduced(image: np.ndarray, longest_px: int) -> np.ndarray:
    """Any picture, averaged down until its longer side is at most `longest_px`."""
    return predictor.reduced(image, predictor.scale_to(longest_px, *image.shape[:2]))


def sampled(plane: np.ndarray, longest_px: int) -> np.ndarray:
    """[H, W] -> [h, w] of single pixels, the one at floor((i + 0.5) * H / h) for i."""
    scale = predictor.scale_to(longest_px, *plane.shape)
    rows, columns = (
        ((np.arange(count) + 0.5) * full / count).astype(int)
        for count, full in zip(predictor.reduced_size(plane.shape, scale), plane.shape, strict=True)
    )
    return plane[np.ix_(rows, columns)]


# --- pictures --------------------------------------------------------------------------------


def viewer_value(analysis: Analysis, colours: Colours = OWN) -> dict:
    """What web/viewer.js draws and reads: pictures as data URLs, sigma as numbers; `scale` is that
    of the picture that the network saw.

    `sigma`: base64 of zlib of uint16 [h, w], little endian, in steps of `step_px`. Not a PNG:
    browsers may change a canvas's pixels, for colour profiles or against fingerprinting.
    """
    step_px = analysis.largest_px / PNG_MAX
    steps = np.rint(np.clip(analysis.sigma_px / step_px, 0, PNG_MAX)).astype("<u2")
    height, width = steps.shape
    ends = colours.range_of(analysis)
    return {
        "serial": uuid.uuid4().hex,
        "photo": _data_url(analysis.photo, "JPEG"),
        "map": _data_url(colours.draw(analysis), "PNG"),
        "sigma": base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode(),
        "step_px": step_px,
        "height": height,
        "width": width,
        "photo_height": analysis.photo_height,
        "photo_width": analysis.photo_width,
        "sharp_below_px": analysis.figures["sharp_below_px"],
        "below": word_below(analysis.scale),
        "above": "blurred",
        "scale": analysis.scale,
        "low_px": ends.low_px,
        "high_px": ends.high_px,
        "ticks": ticks(*ends, TICKS),
        "colours": [
            "#" + bytes(colour).hex()
            for colour in colour_map(np.linspace(0, 1, COLOUR_STEPS), colours.name)
        ],
    }


def _data_url(pixels: np.ndarray, kind: str) -> str:
    file = io.BytesIO()
    options = {"quality": 90} if kind == "JPEG" else {"compress_level": 3}
    Image.fromarray(pixels).save(file, kind, **options)
    return data_url(file.getvalue(), f"image/{kind.lower()}")


def tinted(analysis: Analysis, colours: Colours = OWN) -> np.ndarray:
    """uint8 [h, w, 3]: the grey photo under the map's colours."""
    return overlay(analysis.photo, colours.share(analysis), colours.name)


def cutout(analysis: Analysis, rule: str, threshold_px: float) -> np.ndarray:
    """uint8 [h, w, 4]: what is sharp, the rest transparent, as `dmenet apply segment` does it."""
    image = analysis.photo.astype(np.float32) / 255
    sigma_px = follow_edges(image, analysis.sigma_px)
    mask = sharp_mask(image, sigma_px, rule, threshold_px, threshold_px / 2)
    return np.rint(cut_out(image, mask) * 255).astype(np.uint8)


def magnified(analysis: Analysis, factor: float) -> np.ndarray:
    """uint8 [h, w, 3], at most MAGNIFIED_SIDE_PX: as `dmenet apply magnify` does it."""
    image, sigma_px = _for_lenses(analysis)
    return to_uint8(magnify(image, sigma_px, factor))


def refocused(analysis: Analysis, x: int, y: int, factor: float) -> np.ndarray:
    """As `magnified`, in focus where that picture's pixel x, y is: `dmenet apply refocus`."""
    image, sigma_px = _for_lenses(analysis)
    return to_uint8(refocus(image, sigma_px, sigma_at(sigma_px, x, y), aperture=factor))


def deblurred(analysis: Analysis) -> np.ndarray:
    """uint8 [h, w, 3], at most DEBLURRED_SIDE_PX: as `dmenet apply deblur` does it.

    It takes seconds, so it is kept beside the map.
    """
    kept = analysis.map_file.with_name("deblurred.npy")
    if not kept.exists():
        image, sigma_px = _small(analysis, DEBLURRED_SIDE_PX)
        write_npy(kept, to_uint8(deblur(image, sigma_px)))
    return np.load(kept)


def compared(picture: np.ndarray, analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """(the photo, `picture`), both of the picture's size: what a slider lies over."""
    return reduced(analysis.photo, max(picture.shape[:2])), picture


def _small(analysis: Analysis, longest_px: int):
    """Photo, float32 in [0, 1], and the blur in its pixels, along its edges."""
    image = reduced(analysis.photo.astype(np.float32) / 255, longest_px)
    sigma_px = reduced(analysis.sigma_px, longest_px)
    sigma_px = sigma_px * np.float32(image.shape[1] / analysis.photo_width)
    return image, follow_edges(image, sigma_px)


def _for_lenses(analysis: Analysis):
    """Photo, float32 in [0, 1], and blur in its pixels beyond what maps have where it is sharp."""
    image, sigma_px = _small(analysis, MAGNIFIED_SIDE_PX)
    return image, without_floor(sigma_px, sharp_level(sigma_px))

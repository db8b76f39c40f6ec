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

import cv2
import numpy as np
from PIL import Image

from data_gen.io.data_urls import data_url
from data_gen.io.images import read_bytes
from data_gen.io.photos import decode_photo
from data_gen.io.pixels import to_uint8
from dmenet_tf.applications.magnify import magnify
from dmenet_tf.applications.planes import follow_edges, sharp_level, without_floor
from dmenet_tf.applications.refocus import refocus, sigma_at
from dmenet_tf.applications.segment import cut_out, sharp_mask
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.visualization import ColourRange, colour_map, overlay, own_range, ticks
from serving.contract import PNG_MAX

MAX_PHOTO_PIXELS = 60_000_000
VIEW_SIDE_PX = 1280
# Magnified blur costs with area and with sigma, so with the third power of the side.
MAGNIFIED_SIDE_PX = 640
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

    @property
    def colours(self) -> ColourRange:
        """The map's own range, as in the files of `dmenet predict`."""
        return own_range(self.sigma_px, self.largest_px)

    @property
    def share(self) -> np.ndarray:
        return self.colours.share(self.sigma_px)


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


def files(analysis: Analysis) -> list[str]:
    """The whole map as files to keep, as `dmenet predict` writes them: colours, 16 bit, numbers."""
    stem = analysis.map_file.name.removesuffix(SUFFIXES["npy"])
    paths = [analysis.map_file.with_name(stem + SUFFIXES[format]) for format in ("colour", "png16")]
    if not all(path.exists() for path in paths):
        sigma_px = np.load(analysis.map_file)
        for path, format in zip(paths, ("colour", "png16"), strict=True):
            write_map(path, format, sigma_px, analysis.metadata, None, None)
    return [str(path) for path in (*paths, analysis.map_file)]


def explain(error: ConnectionError) -> str:
    """A failed request in plain words; `code`, where it has one, names a gRPC status."""
    code = getattr(error, "code", None)
    if code == "UNAVAILABLE":
        return f"The server does not answer. Is it running? Try again in a moment. ({error})"
    if code == "DEADLINE_EXCEEDED":
        return f"The server took too long. Choose a smaller size, or try again. ({error})"
    return f"The server refused this photo: {error}"


def reduced(image: np.ndarray, longest_px: int) -> np.ndarray:
    """Any picture, averaged down until its longer side is at most `longest_px`."""
    height, width = _size(image.shape, longest_px)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def sampled(plane: np.ndarray, longest_px: int) -> np.ndarray:
    """[H, W] -> [h, w] of single pixels, the one at floor((i + 0.5) * H / h) for i."""
    height, width = _size(plane.shape, longest_px)
    rows, columns = (
        ((np.arange(count) + 0.5) * full / count).astype(int)
        for count, full in ((height, plane.shape[0]), (width, plane.shape[1]))
    )
    return plane[np.ix_(rows, columns)]


def _size(shape, longest_px):
    scale = min(1.0, longest_px / max(shape[:2]))
    return tuple(max(1, round(side * scale)) for side in shape[:2])


# --- pictures --------------------------------------------------------------------------------


def viewer_value(analysis: Analysis) -> dict:
    """What web/viewer.js draws and reads: pictures as data URLs, sigma as numbers; `scale` is that
    of the picture that the network saw.

    `sigma`: base64 of zlib of uint16 [h, w], little endian, in steps of `step_px`. Not a PNG:
    browsers may change a canvas's pixels, for colour profiles or against fingerprinting.
    """
    step_px = analysis.largest_px / PNG_MAX
    steps = np.rint(np.clip(analysis.sigma_px / step_px, 0, PNG_MAX)).astype("<u2")
    height, width = steps.shape
    colours = analysis.colours
    return {
        "serial": uuid.uuid4().hex,
        "photo": _data_url(analysis.photo, "JPEG"),
        "map": _data_url(colour_map(analysis.share), "PNG"),
        "sigma": base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode(),
        "step_px": step_px,
        "height": height,
        "width": width,
        "photo_height": analysis.photo_height,
        "photo_width": analysis.photo_width,
        "sharp_below_px": analysis.figures["sharp_below_px"],
        "below": _word_below(analysis.scale),
        "above": "blurred",
        "scale": analysis.scale,
        "low_px": colours.low_px,
        "high_px": colours.high_px,
        "ticks": ticks(*colours, TICKS),
        "colours": [
            "#" + bytes(colour).hex() for colour in colour_map(np.linspace(0, 1, COLOUR_STEPS))
        ],
    }


def _data_url(pixels: np.ndarray, kind: str) -> str:
    file = io.BytesIO()
    options = {"quality": 90} if kind == "JPEG" else {"compress_level": 3}
    Image.fromarray(pixels).save(file, kind, **options)
    return data_url(file.getvalue(), f"image/{kind.lower()}")


def tinted(analysis: Analysis) -> np.ndarray:
    """uint8 [h, w, 3]: the grey photo under the map's colours."""
    return overlay(analysis.photo, analysis.share)


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


def _for_lenses(analysis: Analysis):
    """Photo, float32 in [0, 1], and blur in its pixels beyond what maps have where it is sharp."""
    image = reduced(analysis.photo.astype(np.float32) / 255, MAGNIFIED_SIDE_PX)
    sigma_px = reduced(analysis.sigma_px, MAGNIFIED_SIDE_PX)
    sigma_px = sigma_px * np.float32(image.shape[1] / analysis.photo_width)
    sigma_px = follow_edges(image, sigma_px)
    return image, without_floor(sigma_px, sharp_level(sigma_px))


# --- words -----------------------------------------------------------------------------------


def _limit(sharp_below_px: float, scale: float) -> str:
    """What counts as sharp (`dmenet_tf.prediction.sharpness`), in words."""
    if scale == 1.0:
        return f"{sharp_below_px:.3g} px"
    seen_px = sharp_below_px * scale
    return f"{sharp_below_px:.3g} px, which is {seen_px:.3g} px of what the network saw"


def _word_below(scale: float) -> str:
    """What a blur below the limit is called. In a reduced photo it may be many of its pixels, and
    all that is known is that the network saw none."""
    return "sharp" if scale == 1.0 else "no blur that shows at the size which the network saw"


def summary_html(analysis: Analysis) -> str:
    """The figures of the whole map; holds numbers only, nothing that a user wrote."""
    figures, photo = analysis.figures, f"{analysis.photo_width} x {analysis.photo_height}"
    seen = [round(side * analysis.scale) for side in (analysis.photo_width, analysis.photo_height)]
    sharp_below_px = figures["sharp_below_px"]
    rows = (
        (
            "Sharp part" if analysis.scale == 1.0 else "No visible blur",
            f"{figures['share_sharp']:.0%}",
            f"of the photo has a blur below {_limit(sharp_below_px, analysis.scale)}",
        ),
        (
            "Typical blur",
            f"{figures['median_sigma_px']:.2f} px",
            "half of the photo is sharper, half is softer (median)",
        ),
        (
            "Sharpest part",
            f"{figures['sharpest_sigma_px']:.2f} px",
            "the sharpest tenth of the photo stays below this blur",
        ),
        ("Photo", f"{photo} px", f"the network saw {seen[0]} x {seen[1]} px"),
    )
    cells = "".join(
        f"<div><dt>{name}</dt><dd><strong>{value}</strong><small>{note}</small></dd></div>"
        for name, value, note in rows
    )
    return f'<dl class="dm-figures">{cells}</dl>'

"""Maps in files: every form that `predict` writes, and reading it back to sigma in pixels.

| form | file | what it holds | read back |
| --- | --- | --- | --- |
| colour | NAME.colour.png | colours of 0 .. sigma_max_px | to half a step of 256 |
| png16 | NAME.sigma16.png | round(65535 * sigma_px / sigma_max_px) | to half a step of 65535 |
| tiff | NAME.sigma.tiff | sigma_px, float32 | exactly |
| npy | NAME.sigma.npy | sigma_px, float32 | exactly |
| overlay | NAME.overlay.png | the grey photo, tinted with the colours | no |
| side | NAME.side.png | photo, colours and their scale side by side | no |

NAME is the photo's, its suffix included: a.jpg and a.png have maps of their own. `sigma_px`
[H, W] float32 is in pixels of the photo. `sigma_max_px` is 7, the largest blur that the network
knows; for a photo that was reduced by s, 7/s. It stands, with the model, the units and the version,
in each file's metadata (`Metadata`): PNG text `DMENet`, TIFF ImageDescription, both JSON. An .npy
has no place for it; it stands in NAME.json, the photo's summary, beside all forms.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from data_gen.io.images import DataFileError, read_bytes, write_atomic
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.visualization import colour_map

PNG_KEY = "DMENet"
_TIFF_DESCRIPTION, _TIFF_SOFTWARE = 270, 305
_PNG_MAX = 65535
_FAST_PNG = 3  # zlib level: half the time of the default for a few per cent of size


# --- writing ---------------------------------------------------------------------------------


def write_map(path, form: str, sigma_px: np.ndarray, metadata: Metadata, image=None) -> None:
    """Writes one form of a map; the file appears when it is complete.

    sigma_px: [H, W] float32. image: the photo, RGB [H, W, 3] of uint8, uint16 or float in [0, 1];
    `overlay` and `side` show it. Raises ValueError for a map with NaN or beyond
    [0, sigma_max_px]: a file must not hide it.
    """
    top = metadata.sigma_max_px
    if not (sigma_px.min() >= 0 and sigma_px.max() <= top * (1 + 1e-6)):  # NaN fails too
        raise ValueError(
            f"sigma_px must lie in [0, {top:g}]; received {sigma_px.min():g} to {sigma_px.max():g}"
        )
    share = sigma_px / np.float32(top)
    if form == "npy":
        write_atomic(path, lambda temporary: _save_npy(temporary, sigma_px))
    elif form == "tiff":
        tags = {_TIFF_DESCRIPTION: metadata.to_json(), _TIFF_SOFTWARE: _software(metadata)}
        picture = Image.fromarray(sigma_px)
        write_atomic(
            path, lambda t: picture.save(t, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
        )
    elif form == "png16":
        stored = np.rint(_PNG_MAX * np.minimum(share, 1.0)).astype(np.uint16)
        _write_png(path, stored, metadata)
    elif form == "colour":
        _write_png(path, colour_map(share), metadata)
    elif form == "overlay":
        _write_png(path, overlay(image, share), metadata)
    elif form == "side":
        _write_png(path, side_by_side(image, share, top), metadata)
    else:
        raise ValueError(f"the form of a map is one of {', '.join(SUFFIXES)}; received {form!r}")


def _save_npy(path, sigma_px) -> None:
    with open(path, "wb") as file:  # np.save appends .npy to a name without it
        np.save(file, sigma_px)


def _write_png(path, pixels: np.ndarray, metadata: Metadata) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(PNG_KEY, metadata.to_json())
    text.add_text("Software", _software(metadata))
    picture = Image.fromarray(pixels)
    write_atomic(path, lambda t: picture.save(t, "PNG", pnginfo=text, compress_level=_FAST_PNG))


def _software(metadata: Metadata) -> str:
    return f"DMENet-TF {metadata.version}"


# --- reading ---------------------------------------------------------------------------------


def read_map(path) -> tuple[np.ndarray, Metadata | None]:
    """What `write_map` wrote -> (sigma_px [H, W] float32, metadata, None for an .npy).

    Raises `DataFileError` for other files, for `overlay` and `side`, which blend the map with the
    photo or with its scale, and for PNGs whose metadata, and with it their scale, is lost.
    """
    path = Path(path)
    read_bytes(path)  # names what is missing or empty
    if path.suffix == ".npy":
        return _read_npy(path), None
    try:
        with Image.open(path) as opened:
            text = opened.tag_v2.get(_TIFF_DESCRIPTION) if opened.format == "TIFF" else None
            opened.load()
            text = text or opened.info.get(PNG_KEY)
            pixels = np.asarray(opened)
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        raise DataFileError(f"{path}: must be a whole map file ({error})") from error
    metadata = _parse(text, path)
    if pixels.dtype == np.float32 and pixels.ndim == 2:
        return pixels, metadata
    if pixels.ndim == 2:
        return pixels.astype(np.float32) * np.float32(metadata.sigma_max_px / _PNG_MAX), metadata
    if path.name.endswith((SUFFIXES["overlay"], SUFFIXES["side"])):
        raise DataFileError(f"{path}: a map is read from another form; this one shows the photo")
    return _share_of_colours(pixels, path) * np.float32(metadata.sigma_max_px), metadata


def _read_npy(path: Path) -> np.ndarray:
    try:
        sigma_px = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataFileError(f"{path}: must be a whole .npy ({error})") from error
    if sigma_px.dtype != np.float32 or sigma_px.ndim != 2:
        raise DataFileError(
            f"{path}: a map must be [H, W] of float32; received {sigma_px.dtype} "
            f"{list(sigma_px.shape)}"
        )
    return sigma_px


def _parse(text, path) -> Metadata:
    try:
        return Metadata(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise DataFileError(
            f"{path}: a map must carry its scale ('{PNG_KEY}' in a PNG, ImageDescription in a "
            "TIFF); received none that can be read: was it saved by another program?"
        ) from error


def _share_of_colours(pixels: np.ndarray, path) -> np.ndarray:
    """The inverse of `colour_map`: 256 colours, each told from the others."""
    steps = colour_map((np.arange(256) + 0.5) / 256)

    def key(colours):
        red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
        return (red << 16) | (green << 8) | blue

    order = np.argsort(key(steps))
    known = key(steps)[order]
    found = np.minimum(np.searchsorted(known, key(pixels)), 255)
    if (known[found] != key(pixels)).any():
        raise DataFileError(f"{path}: a colour map must hold the map's colours alone")
    return ((order[found] + 0.5) / 256).astype(np.float32)


# --- pictures --------------------------------------------------------------------------------

_TINT = 0.8
_GAP_PX = 8
_BAR_MIN_HEIGHT_PX = 64


def to_uint8(image: np.ndarray) -> np.ndarray:
    """An RGB photo of uint8, uint16 or float in [0, 1] -> uint8."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    return np.rint(image * 255.0).astype(np.uint8)


def overlay(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The photo in grey, tinted with the map's colours the more it is blurred: uint8 [H, W, 3]."""
    light = cv2.cvtColor(cv2.cvtColor(to_uint8(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # Black, the colour of what is sharp, would only hide it.
    opacity = _TINT * np.sqrt(np.clip(share, 0.0, 1.0)).astype(np.float32)
    return cv2.blendLinear(light, colour_map(share), 1 - opacity, opacity)


def side_by_side(image: np.ndarray, share: np.ndarray, sigma_max_px: float) -> np.ndarray:
    """Photo, map and its scale in pixels: uint8 [H, 2 W + gaps and scale, 3]."""
    height = image.shape[0]
    gap = np.full((height, _GAP_PX, 3), 255, np.uint8)
    columns = [to_uint8(image), gap, colour_map(share)]
    if height >= _BAR_MIN_HEIGHT_PX:  # below, its numbers could not be read
        columns += [gap, _scale(height, sigma_max_px)]
    return np.concatenate(columns, axis=1)


def _scale(height: int, sigma_max_px: float) -> np.ndarray:
    """A bar of the map's colours with its ends in pixels, white beside it."""
    size = max(0.35, height / 1000)  # of the letters
    line = max(1, round(size))
    labels = [f"{sigma_max_px:.3g} px", "sigma", "0"]
    boxes = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)[0] for text in labels]
    bar = max(10, round(24 * size))
    scale = np.full((height, bar + _GAP_PX + max(box[0] for box in boxes), 3), 255, np.uint8)
    scale[:, :bar] = colour_map(np.linspace(1.0, 0.0, height))[:, None]
    rows = [boxes[0][1] + 2, (height + boxes[1][1]) // 2, height - 4]
    for text, row in zip(labels, rows, strict=True):
        place = (bar + _GAP_PX // 2, row)
        cv2.putText(scale, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), line)
    return scale

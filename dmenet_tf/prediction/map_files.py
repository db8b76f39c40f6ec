"""Maps in files: every format that `predict` writes, and reading it back to sigma in pixels.

| format | file | what it holds | read back |
| --- | --- | --- | --- |
| colour | NAME.colour.png | the map in colours, and their scale | to half a step of 240 |
| png16 | NAME.sigma16.png | round(65535 * sigma_px / sigma_max_px) | to half a step of 65535 |
| tiff | NAME.sigma.tiff | sigma_px, float32 | exactly |
| npy | NAME.sigma.npy | sigma_px, float32 | exactly |
| overlay | NAME.overlay.png | the grey photo, tinted with the colours, and their scale | no |
| side | NAME.side.png | photo, colours and scale side by side, at most 2,000 px wide | no |

NAME is the photo's, its suffix included: a.jpg and a.png have maps of their own. `sigma_px`
[H, W] float32 is in pixels of the photo. `sigma_max_px` is 7, the largest blur that the network
knows; for a photo that was reduced by s, 7/s. It is stored, with the model, the units and the
version, in each file's metadata (`Metadata`): PNG text `DMENet`, TIFF ImageDescription, both JSON.
An .npy has no place for it, but the photo's summary, NAME.json, has it as well.

Colours run over the photo's own range of sigma unless another is given (`visualization.own_range`).
The sigma at their two ends, their name (`visualization.COLOUR_MAPS`), and which part of the picture
is the map (the scale is to its right), are stored in the PNG text `DMENet-colours`.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from data_gen.io.arrays import write_npy
from data_gen.io.atomic import write_atomic
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_bytes
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import PNG_KEY, SUFFIXES, TIFF_DESCRIPTION
from dmenet_tf.visualization import (
    COLOUR_MAPS,
    COLOUR_STEPS,
    INFERNO,
    ColourRange,
    colour_map,
    indexed,
    overlay,
    own_range,
    palette,
    side_by_side,
    with_scale,
)

COLOURS_KEY = "DMENet-colours"
_TIFF_SOFTWARE = 305
_PNG_MAX = 65535
_OLDER_STEPS = 256  # of colours, in files without `COLOURS_KEY`
_FAST_PNG = 3  # zlib level: half the time of the default for a few per cent of size


# --- writing ---------------------------------------------------------------------------------


def write_map(
    path,
    form: str,
    sigma_px: np.ndarray,
    metadata: Metadata,
    image=None,
    colours: ColourRange | None = None,
    name: str = INFERNO,
) -> None:
    """Writes a map in one format; the file appears when it is complete.

    Args:
        sigma_px: [H, W] float32.
        image: the photo, which `overlay` and `side` show: RGB [H, W, 3] of uint8, uint16, or float
            in [0, 1].
        colours: the sigma at the ends of the colours; None for the map's own range.
        name: of the colours of `colour`, one of `visualization.COLOUR_MAPS`.
    Raises:
        ValueError: the map has NaN or values outside [0, sigma_max_px], which a file must not hide.
    """
    top = metadata.sigma_max_px
    if not (sigma_px.min() >= 0 and sigma_px.max() <= top * (1 + 1e-6)):  # NaN fails too
        raise ValueError(
            f"sigma_px must lie in [0, {top:g}]; received {sigma_px.min():g} to {sigma_px.max():g}"
        )
    if form == "npy":
        write_npy(path, sigma_px)
    elif form == "tiff":
        tags = {TIFF_DESCRIPTION: metadata.to_json(), _TIFF_SOFTWARE: _software(metadata)}
        picture = Image.fromarray(sigma_px)
        write_atomic(
            path, lambda t: picture.save(t, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
        )
    elif form == "png16":
        share = np.minimum(sigma_px / np.float32(top), 1.0)
        _write_png(path, np.rint(_PNG_MAX * share).astype(np.uint16), metadata)
    elif form in _COLOURED:
        colours = own_range(sigma_px, top) if colours is None else colours
        pixels = _COLOURED[form](sigma_px, image, colours)
        _write_png(path, pixels, metadata, colours, sigma_px.shape, name)
    else:
        raise ValueError(f"the format of a map is one of {', '.join(SUFFIXES)}; received {form!r}")


_COLOURED = {
    "colour": lambda sigma_px, image, colours: with_scale(
        indexed(colours.share(sigma_px)), colours
    ),
    "overlay": lambda sigma_px, image, colours: with_scale(
        overlay(image, colours.share(sigma_px)), colours
    ),
    "side": lambda sigma_px, image, colours: side_by_side(image, sigma_px, colours),
}


def colour_range(text: str) -> ColourRange | None:
    """An option's text, `auto` or the sigma in pixels at the bright end; None means auto.

    Raises ValueError for anything else.
    """
    if text == "auto":
        return None
    try:
        high_px = float(text)
    except ValueError:
        high_px = np.nan
    if not 0 < high_px < np.inf:
        raise ValueError(f"a range of colours must be auto, or a sigma above 0; received {text!r}")
    return ColourRange(0.0, high_px)


def _write_png(path, pixels, metadata: Metadata, colours=None, shape=(), name=INFERNO) -> None:
    """pixels: uint8 [H, W, 3], uint16 [H, W], or uint8 [H, W], indices of `palette`."""
    text = PngImagePlugin.PngInfo()
    text.add_text(PNG_KEY, metadata.to_json())
    if colours is not None:
        about = {"range_px": list(colours), "colours": name, "map_height_width": list(shape)}
        text.add_text(COLOURS_KEY, json.dumps(about))
    text.add_text("Software", _software(metadata))
    picture = Image.fromarray(pixels)
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        picture.putpalette(palette(name).ravel().tolist())
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
            text = opened.tag_v2.get(TIFF_DESCRIPTION) if opened.format == "TIFF" else None
            opened.load()
            text = text or opened.info.get(PNG_KEY)
            about_colours = opened.info.get(COLOURS_KEY)
            pixels = np.asarray(opened.convert("RGB") if opened.mode == "P" else opened)
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        raise DataFileError(f"{path}: must be a whole map file ({error})") from error
    metadata = _parse(text, path)
    if pixels.dtype == np.float32 and pixels.ndim == 2:
        return pixels, metadata
    if pixels.ndim == 2:
        return pixels.astype(np.float32) * np.float32(metadata.sigma_max_px / _PNG_MAX), metadata
    if path.name.endswith((SUFFIXES["overlay"], SUFFIXES["side"])):
        raise DataFileError(f"{path}: a map is read from another format; this one shows the photo")
    return _sigma_of_colours(pixels, about_colours, metadata, path), metadata


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
            "TIFF); received none: was it saved by another program?"
        ) from error


def _sigma_of_colours(pixels, about, metadata: Metadata, path) -> np.ndarray:
    colours, (height, width) = ColourRange(0.0, metadata.sigma_max_px), pixels.shape[:2]
    name = INFERNO
    if about is not None:  # there is none in the files of older versions, which have no scale
        try:
            about = json.loads(about)
            colours = ColourRange(*(float(end) for end in about["range_px"]))
            height, width = (int(side) for side in about["map_height_width"])
            name = about.get("colours", INFERNO)  # which older versions did not say
            if name not in COLOUR_MAPS:
                raise ValueError(name)
        except (KeyError, TypeError, ValueError) as error:
            raise DataFileError(
                f"{path}: a colour map must say what its colours mean ('{COLOURS_KEY}'); "
                "received text of another form"
            ) from error
    steps = _OLDER_STEPS if about is None else COLOUR_STEPS
    low_px, high_px = np.float32(colours)
    return low_px + (high_px - low_px) * _share_of_colours(
        pixels[:height, :width], steps, name, path
    )


def _share_of_colours(pixels: np.ndarray, steps: int, name: str, path) -> np.ndarray:
    """The inverse of colours in so many steps, all of which differ."""
    colours = colour_map((np.arange(steps) + 0.5) / steps, name)

    def key(colours):
        red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
        return (red << 16) | (green << 8) | blue

    order = np.argsort(key(colours))
    known = key(colours)[order]
    found = np.minimum(np.searchsorted(known, key(pixels)), steps - 1)
    if (known[found] != key(pixels)).any():
        raise DataFileError(f"{path}: a colour map must hold no other colours than the map's")
    return ((order[found] + 0.5) / steps).astype(np.float32)

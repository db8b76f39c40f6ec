"""Image files: reading photos and stored maps, writing PNG files atomically.

Photos are read with Pillow (`decoding.py`). Stored maps are read with OpenCV, the only one of the
two that keeps all 16 bits of a three-channel PNG.
"""

from collections.abc import Iterable
from pathlib import Path, PurePath

import cv2
import numpy as np
from PIL import Image, ImageOps

from data_gen.io import decoding, raw
from data_gen.io.atomic import write_bytes
from data_gen.io.errors import DataFileError
from data_gen.io.formats import readable_suffixes
from data_gen.io.remote import place

IMAGE_SUFFIXES = readable_suffixes()
# The best level and strategy, measured on 240 px crops: files as small as with level 6 (a sixth
# smaller than OpenCV's default) in a fifth of its time.
PNG_OPTIONS = (
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # fmt: skip


# --- reading ---------------------------------------------------------------------------------


def read_bytes(path) -> bytes:
    """The bytes of a file; `DataFileError` naming it if it is missing, empty or unreadable."""
    try:
        data = place(path).read_bytes()
    except OSError as error:
        raise DataFileError(f"{path}: the file must exist and be readable ({error})") from error
    if not data:
        raise DataFileError(f"{path}: the file must not be empty; received 0 bytes")
    return data


def read_rgb(path) -> np.ndarray:
    """A photo -> uint8 [H, W, 3] RGB, upright.

    Grey becomes three equal channels, alpha is dropped, 16-bit values are reduced to their upper 8
    bits, and the EXIF rotation is applied. Raises `DataFileError`, naming the file, unless it is a
    complete image.
    """
    return decode_rgb(read_bytes(path), path)


def decode_rgb(data: bytes, name) -> np.ndarray:
    """`read_rgb` for bytes; `name` is used in errors."""
    if decoding.is_raw(data, name):
        return (raw.develop(data, name) >> 8).astype(np.uint8)
    return np.array(_open_8bit(data, name).convert("RGB"))


def _open_8bit(data: bytes, name) -> Image.Image:
    try:
        image = ImageOps.exif_transpose(decoding.decode(data, name).image)
    except DataFileError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every exception type
        raise DataFileError(f"{name}: must be a complete, valid image file ({error})") from error
    if image.mode[0] not in "IF":
        return image
    # Pillow would clip wide grey at 255 instead of scaling it.
    values = np.asarray(image)
    if image.mode[0] == "F" or values.min() < 0 or values.max() > 65535:
        raise DataFileError(
            f"{name}: an image must have 8 or 16 bits a channel; received Pillow mode "
            f"'{image.mode}' with values {values.min():g} to {values.max():g}"
        )
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))


def read_stored(path) -> np.ndarray:
    """The stored numbers of a map: [H, W] or RGB [H, W, 3], any bit depth."""
    return decode_stored(read_bytes(path), path)


def decode_stored(data: bytes, name) -> np.ndarray:
    """`read_stored` for bytes; `name` is used in errors."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataFileError(f"{name}: must be a complete, valid image file ({error})") from error
    if array is None:
        raise DataFileError(
            f"{name}: must be a complete, valid image file; OpenCV could not read it"
        )
    return array if array.ndim == 2 else array[..., 2::-1]


def single_channel(array: np.ndarray, name) -> np.ndarray:
    """[H, W] from a map stored in one channel or in three equal ones."""
    if array.ndim == 2:
        return array
    if not (array == array[..., :1]).all():
        raise DataFileError(f"{name}: a map's channels must be equal; received a colour image")
    return array[..., 0]


# --- writing ---------------------------------------------------------------------------------


def encode_png(array: np.ndarray) -> bytes:
    """uint8 or uint16 [H, W] or [H, W, 3] RGB -> PNG, lossless."""
    array = np.asarray(array)
    plane = array.ndim == 2 or array.shape[2:] == (3,)
    if array.dtype not in (np.uint8, np.uint16) or not plane:
        raise ValueError(
            "a PNG is written from uint8 or uint16, [H, W] or [H, W, 3]; "
            f"received {array.dtype} {list(array.shape)}"
        )
    bgr = array if array.ndim == 2 else array[..., ::-1]
    return cv2.imencode(".png", bgr, PNG_OPTIONS)[1].tobytes()


def write_png(path, array: np.ndarray):
    """Writes `encode_png(array)`, atomically."""
    write_bytes(path, encode_png(array))


# --- folders ---------------------------------------------------------------------------------


def by_stem(paths: Iterable[Path], folder: Path | None = None) -> dict:
    """Files by stem: {"a": Path(".../a.png")}, in their order.

    With `folder` they are keyed by their path relative to it, without the suffix, as a PurePath.
    Raises `DataFileError` where two files share a key.
    """
    files = {}
    for path in paths:
        key = path.stem if folder is None else PurePath(path.relative_to(folder).with_suffix(""))
        if key in files:
            raise DataFileError(
                f"{path}: each name must belong to one file; {files[key]} has it too"
            )
        files[key] = path
    return files

"""Photos from users, in files of any origin: RGB at their full bit depth.

The formats of `formats.py`; grey, alpha (dropped), palette, CMYK (Pillow's plain conversion,
without a colour profile); the EXIF rotation is applied. The format is detected from the bytes, not
from the name. The size in the header is checked before decoding: a file of a few kilobytes can
declare gigabytes.

`images.read_rgb` reads the same files in 8 bits, for training.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from data_gen.io import decoding, raw, tiff
from data_gen.io.errors import DataFileError
from data_gen.io.images import decode_stored, read_bytes

MAX_PIXELS = 400_000_000  # 1.2 GB in 8 bits; the largest cameras have 150 million

_ORIENTATION = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_COLOUR = 256, 257, 258, 262
_BLACK_IS_ZERO, _RGB = 1, 2
_pillow_limit = threading.Lock()


def read_photo(
    path, max_pixels: int = MAX_PIXELS, note: Callable[[str], None] = decoding.silent
) -> np.ndarray:
    """A photo -> RGB [H, W, 3], upright: uint8, or uint16 or float32 in [0, 1] if deeper.

    16-bit PNG and TIFF stay uint16, TIFF of floats stays float32, a camera's RAW file becomes
    uint16. `note` takes a line for a file of several pages, or one that was read though slightly
    damaged. Raises `DataFileError`, naming the file, if it is no complete image, has more than
    `max_pixels`, or floats outside [0, 1].
    """
    return decode_photo(read_bytes(path), path, max_pixels, note)


def decode_photo(
    data: bytes, name, max_pixels: int = MAX_PIXELS, note: Callable[[str], None] = decoding.silent
) -> np.ndarray:
    """`read_photo` for bytes; `name` is used in errors and notes."""

    def check_size(width, height):
        _check_size(width, height, name, max_pixels)

    if not data:
        raise DataFileError(f"{name}: a photo must not be empty; received 0 bytes")
    if decoding.is_raw(data, name):
        return raw.develop(data, name, check_size)
    try:
        with _quiet_pillow():
            image, data = decoding.decode(data, name, check_size, note)
            if not is_deep(image, data):
                return _to_rgb(ImageOps.exif_transpose(image))
            orientation = image.getexif().get(_ORIENTATION, 1)
    except UnidentifiedImageError as error:
        if not tiff.is_tiff(data):
            raise DataFileError(
                f"{name}: must be a photo; received {len(data)} bytes of no known image format"
            ) from error
        data, _ = tiff.first_full_page(data)
        orientation = _check_tiff(data, name, max_pixels)
    except DataFileError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every exception type
        raise DataFileError(f"{name}: must be a complete, valid image file ({error})") from error
    return _upright(_deep_rgb(decode_stored(data, name), name), orientation)


@contextlib.contextmanager
def _quiet_pillow():
    """Silences Pillow's warnings about broken tags, and its global limit of pixels.

    Fatal errors are still raised; the limit is an argument of the caller here.
    """
    with _pillow_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(width: int, height: int, name, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DataFileError(
            f"{name}: a photo must have at most {max_pixels / 1e6:g} million pixels; received "
            f"{width} x {height}, {width * height / 1e6:.0f} million"
        )


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether the file has more than 8 bits per channel, in a format that OpenCV reads as RGB."""
    if image.format == "PNG":
        return data[24] == 16  # IHDR, the first chunk: width, height, bit depth
    if image.format == "TIFF":
        colour = image.tag_v2.get(_TIFF_COLOUR)
        return max(image.tag_v2.get(_TIFF_BITS, (1,))) > 8 and colour in (_BLACK_IS_ZERO, _RGB)
    return False


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Pillow image -> uint8, or uint16 for wide grey."""
    if image.mode[0] not in "IF":
        return np.array(image.convert("RGB"))
    return _deep_rgb(np.asarray(image), "the photo")


def _deep_rgb(array: np.ndarray, name) -> np.ndarray:
    """[H, W] or [H, W, 3] of any type -> RGB [H, W, 3]: uint8, uint16, or float32 in [0, 1]."""
    if array.dtype == np.int32 and array.min() >= 0 and array.max() <= 65535:
        array = array.astype(np.uint16)  # Pillow's wide grey
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise DataFileError(
                f"{name}: a photo of floats must lie in [0, 1]; received {low:g} to {high:g}"
            )
        array = array.astype(np.float32)
    elif array.dtype not in (np.uint8, np.uint16):
        raise DataFileError(
            f"{name}: a photo must hold integers of 8 or 16 bits or floats; received {array.dtype}"
        )
    return array if array.ndim == 3 else cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)


def _check_tiff(data: bytes, name, max_pixels: int) -> int:
    """Checks the size of a TIFF that Pillow has no mode for (e.g. float RGB); its orientation."""
    try:
        file = io.BytesIO(data)
        directory = ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        with _quiet_pillow():
            directory.load(file)
        width, height = directory[_TIFF_WIDTH], directory[_TIFF_HEIGHT]
        orientation = directory.get(_ORIENTATION, 1)
    except Exception as error:
        raise DataFileError(
            f"{name}: must be a complete, valid TIFF; this one declares no size"
        ) from error
    _check_size(width, height, name, max_pixels)
    return orientation


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Applies an EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)

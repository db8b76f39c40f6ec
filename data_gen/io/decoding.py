"""Bytes of a picture -> a Pillow image that is wholly read. One way for photos, scenes and labels.

The format is told from the bytes, among those of `formats.py`. A file that is only slightly damaged
is read (`repair.py`), of a TIFF the first full-size page (`tiff.py`). Pillow rejects truncated
files of any format; OpenCV before version 5 returns the upper half of a truncated JPEG.

Notes (which page, what was repaired) go to `note`, a function of one line that names the file.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from data_gen.installation import install_command
from data_gen.io import formats, repair, tiff
from data_gen.io.errors import DataFileError

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
_NO_ANIMATION = ("MPO", "TIFF", "PSD")  # several pictures, but no frames of one


class Decoded(NamedTuple):
    """A loaded image and the bytes it was read from: those of the file, or of the repaired one."""

    image: Image.Image
    data: bytes


def silent(line: str) -> None:
    """Takes a note and drops it."""


def decode(
    data: bytes,
    name,
    check_size: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] = silent,
) -> Decoded:
    """Opens and loads a picture, not a RAW file.

    Args:
        name: of the file, for errors and notes.
        check_size: called with (width, height) before anything is decoded; raises to refuse.
    Raises:
        DataFileError: a HEIC file that cannot be read here, or the error of `check_size`.
        Exception: nearly any, from Pillow's decoders, for what is no complete picture.
    """
    _check_heif(data, name)
    if tiff.is_tiff(data):
        data, which = tiff.first_full_page(data)
        if which:
            note(f"{name}: {which}")
    try:
        image = _loaded(data, check_size)
    except DataFileError:
        raise
    except Exception:
        mended = repair.repaired(data)
        if mended is None:
            raise
        image, data = _loaded(mended.data, check_size), mended.data
        note(f"{name}: {mended.note}")
    if image.format not in _NO_ANIMATION and getattr(image, "is_animated", False):
        note(f"{name}: the first of several frames was read")
    return Decoded(image, data)


def _loaded(data: bytes, check_size) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=formats.decoders())
    if check_size is not None:
        check_size(*image.size)
    image.load()
    return image


def is_raw(data: bytes, name) -> bool:
    """Whether a file is a camera's RAW file, by its bytes, or as a TIFF under the name of one."""
    named = Path(str(name)).suffix.lower() in formats.RAW_SUFFIXES
    return tiff.is_raw(data) or (named and tiff.is_tiff(data))


def _check_heif(data: bytes, name) -> None:
    """Raises `DataFileError` for HEIC where the library that reads it is not installed."""
    is_heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:64]
    if is_heif and "HEIF" not in formats.decoders():
        raise DataFileError(
            f"{name}: a HEIC file needs {install_command(formats.EXTRA)}; received one"
        )

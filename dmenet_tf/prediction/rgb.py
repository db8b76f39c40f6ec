"""Photos as Python programs hold them -> RGB, as a predictor takes it.

A path, the bytes of a file, a PIL image, or an array: grey [H, W] or [H, W, 1], RGB [H, W, 3],
RGBA [H, W, 4], of uint8, uint16, or floats in [0, 1]. Bits are kept, alpha is dropped, and an EXIF
rotation is applied.
"""

import os
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from data_gen.io import decoding
from data_gen.io.photos import decode_photo, read_photo
from dmenet_tf.prediction.predictor import check_image

PhotoLike = str | os.PathLike | bytes | Image.Image | np.ndarray


def to_rgb(
    photo: PhotoLike, note: Callable[[str], None] = decoding.silent
) -> tuple[np.ndarray, str]:
    """A photo -> RGB [H, W, 3], upright, of uint8, uint16 or float32, and what to call it.

    `note` takes a line about a file that is read all the same, as one of several pages.
    Raises `DataFileError`, a ValueError, for a file that is no photo, ValueError for an array of
    another shape, dtype or range, and TypeError for anything else.
    """
    if isinstance(photo, str | os.PathLike):
        return read_photo(photo, note=note), os.path.basename(os.fspath(photo))
    if isinstance(photo, bytes | bytearray | memoryview):
        return decode_photo(bytes(photo), "the photo", note=note), "photo"
    if isinstance(photo, Image.Image):
        # A PIL image knows its file, whose rotation it has not applied.
        name = os.path.basename(getattr(photo, "filename", "") or "photo")
        return _of_pil(ImageOps.exif_transpose(photo)), name
    if isinstance(photo, np.ndarray):
        return _of_array(photo), "photo"
    raise TypeError(
        "a photo must be a path, bytes, a PIL image or a NumPy array; received "
        f"{type(photo).__name__}"
    )


def _of_pil(image: Image.Image) -> np.ndarray:
    if image.mode[0] not in "IF":
        return np.asarray(image.convert("RGB"))
    plane = np.asarray(image)
    if plane.dtype.kind == "i" and plane.min() >= 0 and plane.max() <= 65535:
        plane = plane.astype(np.uint16)  # Pillow's wide grey
    return _of_array(plane)


def _of_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ValueError(
            "an image must be grey [H, W], RGB [H, W, 3] or RGBA [H, W, 4]; received "
            f"{list(array.shape)}"
        )
    rgb = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., :3]
    return np.ascontiguousarray(check_image(rgb))

"""Defocus maps in one of the encodings of `data_gen/optics.py`: encode beside decode."""

import numpy as np

from data_gen import optics
from data_gen.io.errors import DataFileError
from data_gen.io.images import single_channel


def encode_map(defocus, encoding: str) -> np.ndarray:
    """`defocus` in [0, 1] -> uint16 as stored."""
    return optics.ENCODINGS[encoding].encode(optics.defocus_to_sigma(np.asarray(defocus)))


def decode_map(stored, encoding: str, name) -> np.ndarray:
    """Stored integers -> `defocus` float32; `DataFileError` naming the file if one is too large."""
    if stored.dtype.kind != "u":
        raise DataFileError(f"{name}: a map must hold integers; received {stored.dtype}")
    try:
        sigma_px = optics.ENCODINGS[encoding].decode(single_channel(stored, name))
    except ValueError as error:
        raise DataFileError(f"{name}: {error}") from error
    return optics.sigma_to_defocus(sigma_px)


def check_pair(image, defocus, name):
    """(image, defocus), if they have the same size; else `DataFileError`."""
    if image.shape[:2] != defocus.shape:
        raise DataFileError(
            f"{name}: image and map must have the same size; "
            f"received {list(image.shape[:2])} and {list(defocus.shape)}"
        )
    return image, defocus

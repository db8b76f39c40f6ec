"""Pictures as bytes in forms that a camera or an editor writes, and that no library here does."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

_CFA_PATTERN, _CFA_REPEAT = 33422, 33421
_DNG_VERSION, _MODEL, _COLOUR_MATRIX, _NEUTRAL = 50706, 50708, 50721, 50728
_FILTER_ARRAY = 32803


def mosaic(rgb: np.ndarray) -> np.ndarray:
    """uint16 [H, W]: what a sensor with the filters RG/GB sees of an RGB picture of uint8."""
    sensor = np.empty(rgb.shape[:2], np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, column::2] = rgb[row::2, column::2, channel]
    return sensor * 257


def dng(rgb: np.ndarray, version=True) -> bytes:
    """A RAW file: a thumbnail of a few pixels in front, the sensor's values in a SubIFD."""
    file = io.BytesIO()
    identity = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [(_MODEL, 2, None, "Made up", True)]
    tags += [(_DNG_VERSION, 1, 4, (1, 4, 0, 0), True)] if version else []
    tags += [(_COLOUR_MATRIX, 10, 9, identity, True), (_NEUTRAL, 5, 3, (1, 1) * 3, True)]
    filters = [(_CFA_REPEAT, 3, 2, (2, 2), True), (_CFA_PATTERN, 1, 4, (0, 1, 1, 2), True)]
    with tifffile.TiffWriter(file) as writer:
        thumbnail = np.ascontiguousarray(rgb[::8, ::8])
        writer.write(thumbnail, photometric="rgb", subfiletype=1, subifds=1, extratags=tags,
                     software="a camera", metadata=None)  # fmt: skip
        writer.write(mosaic(rgb), photometric=_FILTER_ARRAY, extratags=filters, subfiletype=0,
                     metadata=None)  # fmt: skip
    return file.getvalue()


def pages(*pictures, reduced=()) -> bytes:
    """A TIFF of several pages; those whose numbers (from 0) are in `reduced` are marked as such."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, photometric="rgb", subfiletype=int(number in reduced),
                         metadata=None)  # fmt: skip
    return file.getvalue()


def chunk(kind: bytes, body: bytes, right=True) -> bytes:
    """A chunk of a PNG, with the right checksum or a wrong one."""
    check = zlib.crc32(kind + body) ^ (not right)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def png_with(rgb: np.ndarray, *chunks: bytes, at_end=False) -> bytes:
    """A PNG with more chunks, after its header or before its end."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    data = file.getvalue()
    where = len(data) - 12 if at_end else 33
    return data[:where] + b"".join(chunks) + data[where:]


def psd(rgb: np.ndarray) -> bytes:
    """A Photoshop file without layers, uncompressed."""
    height, width = rgb.shape[:2]
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, height, width, 8, 3)
    return header + bytes(12) + bytes(2) + np.moveaxis(rgb, 2, 0).tobytes()

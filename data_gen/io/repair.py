"""Slightly damaged files whose pixels are whole: what can be read of PNG and JPEG all the same.

PNG: everything but the chunks of pixels, palette, transparency and rotation is left away; those
must have the right checksums. So a text of megabytes, a colour profile in an unknown compression,
or a wrong checksum of a time stamp costs no photo.

JPEG: a file that lacks its end is read several times, continued by different bytes. Pixels that
come out the same do not depend on what is missing. For a progressive file, all its scans must have
begun: without the last ones it looks whole, but blurred.
"""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_KEPT = (*_PIXELS, b"tRNS", b"eXIf")
# Of the pixels of a JPEG that lacks its end: less than a row of blocks of any photo.
MISSING_SHARE_MAX = 0.001
_END = b"\xff\xd9"
# Different from the first bit on; 0xFF would be a marker.
_CONTINUATIONS, _PADDING = (b"\x00", b"\xfe", b"\xa5"), 4096
_PROGRESSIVE, _SCAN = 0xC2, 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}


class Repaired(NamedTuple):
    """A file that any decoder reads, and in words what was wrong with the original."""

    data: bytes
    note: str


def repaired(data: bytes) -> Repaired | None:
    """A readable file with the same pixels; None if pixels are missing, or for other formats."""
    if data.startswith(PNG_MAGIC):
        return _png(data)
    return _jpeg(data) if data.startswith(JPEG_MAGIC) else None


def _png(data: bytes) -> Repaired | None:
    kept, dropped, position = [PNG_MAGIC], [], len(PNG_MAGIC)
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        chunk = data[position : position + length + 12]
        whole = len(chunk) == length + 12
        whole = whole and zlib.crc32(chunk[4:-4]) == struct.unpack(">I", chunk[-4:])[0]
        if kind in _PIXELS and not whole:
            return None
        if kind in _KEPT and whole:
            kept.append(chunk)
        else:
            dropped.append(kind.decode("ascii", "replace"))
        position += length + 12
        if kind == b"IEND":
            break
    if not dropped:
        return None
    names = ", ".join(dict.fromkeys(dropped))
    return Repaired(b"".join(kept), f"read without its chunks {names}, some of them damaged or odd")


def _jpeg(data: bytes) -> Repaired | None:
    if not _scans_are_complete(data):
        return None
    whole = data.rstrip(b"\xff")  # half a marker would change what follows it
    continued = [whole + byte * _PADDING + _END for byte in _CONTINUATIONS]
    try:
        first, *others = (np.asarray(_open(file)) for file in continued)
    except Exception:  # the decoder refuses the file as it refused the original
        return None
    differ = np.any([other != first for other in others], axis=0)
    missing = float(np.mean(differ.any(axis=2) if differ.ndim == 3 else differ))
    if missing > MISSING_SHARE_MAX:
        return None
    lost = f", {missing:.2%} of its pixels with it" if missing else "; all its pixels are there"
    return Repaired(continued[0], f"the end of the file is missing{lost}")


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("JPEG", "MPO"))


def _scans_are_complete(data: bytes) -> bool:
    """Whether the headers of all scans are there that a progressive JPEG needs."""
    position, progressive, depths = 2, False, {}
    while position + 4 <= len(data):
        if data[position] != 0xFF or data[position + 1] in (0x00, 0xFF, *_WITHOUT_LENGTH):
            found = data.find(b"\xff", position + 1)  # within a scan: on to the next marker
            if found < 0:
                break
            position = found
            continue
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        body = data[position + 4 : position + 2 + length]
        if len(body) < length - 2:
            return False
        if marker == _PROGRESSIVE:
            progressive = True
            depths = {body[6 + 3 * i]: np.full(64, 255) for i in range(body[5])}
        elif marker == _SCAN:
            start, end, bits = body[-3], body[-2], body[-1] & 15
            for i in range(body[0]):
                if body[1 + 2 * i] in depths:
                    depths[body[1 + 2 * i]][start : end + 1] = bits
        position += 2 + length
    # Each coefficient's last scan sends its lowest bit, 0.
    return not progressive or all((levels == 0).all() for levels in depths.values())

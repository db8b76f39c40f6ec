"""The size that a PNG or JPEG declares, from its header alone.

Nothing is decoded, and only the markers are read: a file of a few kilobytes can declare gigabytes,
and hide more in its metadata. Sources: PNG specification (ISO/IEC 15948), 11.2.2 IHDR;
JPEG (ITU-T T.81), B.1.1 markers and B.2.2 the frame header.
"""

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Start of frame, all processes: C0 to CF but for DHT (C4), JPG (C8) and DAC (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])  # TEM, RSTn, SOI
_SCAN, _END = 0xDA, 0xD9


def declared_size(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels; ValueError unless `data` is a PNG or JPEG with a whole header."""
    if data.startswith(_PNG):
        return _png_size(data)
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    raise ValueError(f"an image must be a JPEG or PNG; received {len(data)} bytes that are neither")


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
        raise ValueError("a PNG must begin with its size; received a truncated or corrupt one")
    width, height = struct.unpack(">II", data[16:24])
    return _positive(height, width)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # any marker may be preceded by fill bytes
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in (_SCAN, _END):
            break
        else:
            (length,) = struct.unpack(">H", data[position + 2 : position + 4])
            if marker in _FRAMES and position + 9 <= len(data):
                return _positive(*struct.unpack(">HH", data[position + 5 : position + 9]))
            position += 2 + length
    raise ValueError("a JPEG must declare its size; received a truncated or corrupt one")


def _positive(height: int, width: int) -> tuple[int, int]:
    if height < 1 or width < 1:
        raise ValueError(f"an image must have pixels; received {width} x {height}")
    return height, width

"""Requests with malformed image files, each with the status that the contract gives it.

`CASES` as in `malformed_requests.py`.
"""

import struct
import zlib

from tests.support.malformed_requests import INVALID, tensor_of
from tests.support.serving_calls import encoded_request, image_file

CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def truncated_file(rng):
    file = image_file(24, 24, ["PNG", "JPEG"][rng.integers(2)], seed=int(rng.integers(9)))
    return encoded_request(file[: int(rng.integers(0, len(file) * 9 // 10))]), INVALID


@case
def one_bad_file_among_good_ones(rng):
    return encoded_request(image_file(), image_file()[:50], image_file(form="JPEG")), INVALID


@case
def no_image(rng):
    return encoded_request(rng.bytes(int(rng.integers(0, 300)))), INVALID


@case
def other_format(rng):
    return encoded_request(
        image_file(form=str(rng.choice(["GIF", "BMP", "TIFF", "WEBP"])))
    ), INVALID


@case
def random_after_the_magic(rng):
    magic = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"][rng.integers(2)]
    return encoded_request(magic + rng.bytes(int(rng.integers(0, 300)))), INVALID


@case
def png_bomb(rng):
    """A few kilobytes that declare up to 2^31 pixels a side."""
    sides = [(50_000, 50_000), (2**31 - 1, 1), (1, 16_385), (2001, 1000), (0, 5), (2**32 - 1,) * 2]
    return encoded_request(png_of(*sides[rng.integers(len(sides))])), INVALID


@case
def jpeg_bomb(rng):
    file = bytearray(image_file(form="JPEG"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", 65_535, int(rng.integers(17_000, 65_536)))
    return encoded_request(bytes(file)), INVALID


@case
def too_many_pixels_together(rng):
    return encoded_request(*[png_of(1000, 1000)] * 3), INVALID


@case
def no_files(rng):
    return encoded_request(), INVALID


@case
def file_as_content(rng):
    request = encoded_request(image_file())
    tensor_of(request).ClearField("string_val")
    tensor_of(request).tensor_content = image_file()
    return request, INVALID


@case
def fewer_files_than_declared(rng):
    request = encoded_request(image_file())
    tensor_of(request).tensor_shape.dim[0].size = int(rng.choice([2, 2**40]))
    return request, INVALID


def png_of(height, width) -> bytes:
    """A PNG that declares this size, with a whole header and next to no pixels."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(5000))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )

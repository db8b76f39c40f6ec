"""Slightly damaged files: their pixels are read where they are whole, and refused where not."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb
from data_gen.io.photos import decode_photo
from tests.support.picture_files import chunk, png_with

RNG = np.random.default_rng(0)
# 600 x 800: a block of 16 x 16 px, of which the end of a file holds the last, is 0.05 % of it.
RGB = cv2.GaussianBlur(RNG.integers(0, 256, (600, 800, 3), np.uint8), (9, 9), 2)

ODD_CHUNKS = {
    "a text of 70 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 70_000_000)),
    "a colour profile in an unknown compression": chunk(b"iCCP", b"name\0\x07abc"),
    "a damaged colour profile": chunk(b"iCCP", b"name\0\0abc"),
    "a wrong checksum of the time": chunk(b"tIME", bytes(7), right=False),
    "a wrong checksum of a private chunk": chunk(b"abCd", b"a", right=False),
}


@pytest.mark.parametrize("at_end", [False, True], ids=["before the pixels", "after them"])
@pytest.mark.parametrize("title", ODD_CHUNKS)
def test_chunks_beside_the_pixels_of_a_png_cost_no_photo(tmp_path, title, at_end):
    (tmp_path / "a.png").write_bytes(png_with(RGB, ODD_CHUNKS[title], at_end=at_end))
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), RGB)


def test_the_chunk_is_named_and_16_bits_and_the_rotation_stay():
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.uint16(RGB[:40, :60]) * 257
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    more = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + chunk(
        b"tIME", bytes(7), False
    )
    notes = []
    read = decode_photo(data[:33] + more + data[33:], "deep.png", note=notes.append)
    np.testing.assert_array_equal(read, np.rot90(deep, -1))
    assert len(notes) == 1 and notes[0].startswith("deep.png: read without its chunks tIME")


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_damaged_pixels_of_a_png_are_refused(kind):
    data = bytearray(png_with(RGB, chunk(b"tIME", bytes(7), False)))
    data[data.index(kind) + 6] ^= 1
    with pytest.raises(DataFileError, match="a.png: must be"):
        decode_photo(bytes(data), "a.png")


def jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


JPEGS = {"baseline": {}, "progressive": {"progressive": True}, "4:4:4": {"subsampling": 0}}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_end_has_all_its_pixels(kind, lost):
    data, notes = jpeg(**JPEGS[kind]), []
    read = decode_photo(data[:-lost], "a.jpg", note=notes.append)
    np.testing.assert_array_equal(read, decode_photo(data, "a.jpg"))
    assert notes == ["a.jpg: the end of the file is missing; all its pixels are there"]


@pytest.mark.parametrize("kind", JPEGS)
def test_a_few_more_bytes_cost_the_last_block(kind):
    data, notes = jpeg(**JPEGS[kind]), []
    differ = (decode_photo(data[:-4], "a.jpg", note=notes.append) != decode_photo(data, "")).any(2)
    assert 0 < differ.sum() <= 16 * 32 and not differ[:-32].any()
    assert len(notes) == 1 and "% of its pixels with it" in notes[0]


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_jpeg_whose_rows_are_missing_is_refused(kind, share):
    data = jpeg(**JPEGS[kind])
    with pytest.raises(DataFileError, match="a.jpg: must be a complete, valid image file"):
        decode_photo(data[: int(share * len(data))], "a.jpg")


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    """It has all its rows, but looks blurred: the end of every scan is a place to be cut."""
    data = jpeg(progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        tables = data.rfind(b"\xff\xc4", 0, scan)
        for cut in (tables, scan, scan + 2):
            with pytest.raises(DataFileError, match="a.jpg: must be a complete"):
                decode_photo(data[:cut], "a.jpg")

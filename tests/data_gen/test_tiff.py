"""Which page of a TIFF is the photo, and which files are a camera's RAW files."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from data_gen.io import raw, tiff
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb
from data_gen.io.photos import decode_photo, read_photo
from tests.support.picture_files import dng, pages

ROWS, COLUMNS = np.mgrid[:96, :128]
RGB = np.dstack([COLUMNS * 2 - 1, ROWS * 2, 255 - COLUMNS]).clip(0, 255).astype(np.uint8)
SMALL = np.ascontiguousarray(RGB[::8, ::8])


@pytest.mark.parametrize(
    ("data", "page"),
    [
        (pages(RGB), None),
        (pages(RGB, SMALL, reduced=(1,)), None),
        (pages(RGB, 255 - RGB), 1),
        (pages(RGB, SMALL), 1),
        (pages(SMALL, RGB), 2),
        (pages(SMALL, RGB, 255 - RGB, reduced=(0,)), 2),
        (pages(SMALL, SMALL, RGB), 3),
        # Scans differ by a few pixels: the first stays the first.
        (pages(RGB, np.pad(RGB, ((0, 1), (0, 0), (0, 0)))), 1),
    ],
)
def test_the_first_full_size_page_is_read_and_told(tmp_path, data, page):
    notes = []
    np.testing.assert_array_equal(decode_photo(data, "scan.tif", note=notes.append), RGB)
    assert [f"page {page} was read: the first of full size, 128 x 96 px" in n for n in notes] == (
        [] if page is None else [True]
    )
    (tmp_path / "scan.tif").write_bytes(data)
    np.testing.assert_array_equal(read_rgb(tmp_path / "scan.tif"), RGB)


def test_deep_pages_are_chosen_as_well():
    deep = RGB.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_photo(pages(deep[::8, ::8], deep), "a.tif"), deep)
    floats = (RGB / 255).astype(np.float32)
    np.testing.assert_array_equal(decode_photo(pages(floats[::8, ::8], floats), "a.tif"), floats)


def test_a_mask_page_is_no_photo():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "TIFF", tiffinfo={254: 4}, save_all=True,
                              append_images=[Image.fromarray(255 - RGB)])  # fmt: skip
    with Image.open(file) as opened:
        opened.seek(1)
        second = opened.tag_v2.get(254, 0)
    expected = RGB if second == 4 else 255 - RGB
    np.testing.assert_array_equal(decode_photo(file.getvalue(), "a.tif"), expected)


def test_a_cut_file_is_refused_without_log_lines(capfd):
    for share in (0.1, 0.5, 0.99):
        data = pages(SMALL, RGB)
        with pytest.raises(DataFileError, match="a.tif: "):
            decode_photo(data[: int(share * len(data))], "a.tif")
    assert capfd.readouterr() == ("", "")


# --- RAW ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [True, False], ids=["DNG", "a filter array in a SubIFD"])
@pytest.mark.parametrize("name", ["a.dng", "a.tif", "a.jpg"])
def test_raw_is_told_from_its_bytes(name, version):
    assert tiff.is_raw(dng(RGB, version))
    pytest.importorskip("rawpy", reason="needs the extra photos")
    image = decode_photo(dng(RGB, version), name)
    assert image.shape == RGB.shape and image.dtype == np.uint16  # not the thumbnail of 12 x 16


@pytest.mark.parametrize(
    "start",
    [
        b"IIU\0", b"IIRO", b"MMOR", b"FUJIFILMCCD-RAW", b"II\x1a\0\0\0HEAPCCDR", b"\0MRM", b"FOVb",
        b"\0\0\0\x18ftypcrx ", b"II*\0\x10\0\0\0CR\x02\0", b"MM\0*\0\0\0\x10MMMM",
    ],
)  # fmt: skip
def test_makers_magic(start):
    assert tiff.is_raw(start + bytes(100))


def test_a_makers_compression_tells_raw_as_well():
    """A SubIFD without the tag of its colour space, as of older cameras."""
    data = bytearray(pages(RGB))
    tag = struct.pack("<HHIH", 259, 3, 1, 1)  # Compression, one short: none
    assert data.count(tag) == 1 and not tiff.is_raw(bytes(data))
    at = data.index(tag) + 8
    data[at : at + 2] = struct.pack("<H", 34713)
    assert tiff.is_raw(bytes(data))


def test_ordinary_pictures_are_not_raw():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG")
    for data in (pages(RGB), pages(SMALL, RGB, reduced=(0,)), file.getvalue(), b"", b"II*\0"):
        assert not tiff.is_raw(data)


def test_without_rawpy_raw_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.tif").write_bytes(dng(RGB))
    for read in (read_photo, read_rgb):
        with pytest.raises(DataFileError, match=r"a.tif: a camera's RAW file .* needs pip.*photos"):
            read(tmp_path / "a.tif")


def test_a_broken_raw_file_and_one_that_is_too_large_are_named():
    pytest.importorskip("rawpy", reason="needs the extra photos")
    with pytest.raises(DataFileError, match="a.orf: must be a complete RAW file"):
        decode_photo(b"IIRO" + bytes(500), "a.orf")
    with pytest.raises(DataFileError, match="a.dng: .*at most 0.001 million pixels"):
        decode_photo(dng(RGB), "a.dng", max_pixels=1000)
    assert raw.develop(dng(RGB), "a.dng").dtype == np.uint16

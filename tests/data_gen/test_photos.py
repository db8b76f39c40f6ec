"""Photos of any form: all their bits, upright, and nothing decoded that is too large."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.io.errors import DataFileError
from data_gen.io.photos import decode_photo, read_photo

RNG = np.random.default_rng(0)
RGB = cv2.GaussianBlur(RNG.integers(0, 256, (50, 70, 3), np.uint8), (9, 9), 2)
DEEP = RNG.integers(0, 65536, (50, 70, 3), np.uint16)
FLOATS = RNG.random((50, 70, 3), np.float32)


def pillow(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opencv(suffix, array):
    order = array if array.ndim == 2 else array[..., [2, 1, 0, *range(3, array.shape[2])]]
    return cv2.imencode(suffix, np.ascontiguousarray(order))[1].tobytes()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_formats_are_told_from_their_bytes(tmp_path, form):
    lossless = {"lossless": True} if form == "WEBP" else {}
    path = tmp_path / "of_another_name.jpg"
    path.write_bytes(pillow(Image.fromarray(RGB), form, **lossless))
    read = read_photo(path)
    assert read.dtype == np.uint8 and read.shape == RGB.shape
    assert np.abs(read.astype(int) - RGB).mean() < (4 if form == "JPEG" else 1e-9)


def test_grey_alpha_palette_and_cmyk_become_rgb():
    for mode, form in (
        ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"),
        ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("L", "JPEG"),
    ):  # fmt: skip
        image = Image.fromarray(RGB).convert(mode)
        expected = np.array(image.convert("RGB")).astype(int)
        read = decode_photo(pillow(image, form), mode)
        assert read.shape == RGB.shape and read.dtype == np.uint8
        assert np.abs(read - expected).mean() < (6 if form == "JPEG" else 1e-9), (mode, form)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_kept(suffix):
    for stored, expected in (
        (DEEP, DEEP),
        (DEEP[..., 0], np.repeat(DEEP[..., :1], 3, axis=2)),
        (np.dstack([DEEP, DEEP[..., 0]]), DEEP),  # with alpha
    ):
        read = decode_photo(opencv(suffix, stored), suffix)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, expected)


def test_floats_are_kept_and_their_range_is_checked():
    for stored, expected in ((FLOATS, FLOATS), (FLOATS[..., 0], FLOATS[..., [0, 0, 0]])):
        read = decode_photo(opencv(".tiff", stored), "f")
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected)
    for wrong in (FLOATS * 255, FLOATS - 1, np.where(FLOATS > 0.5, np.nan, FLOATS)):
        with pytest.raises(DataFileError, match=r"x.tif: a photo of floats must lie in \[0, 1\]"):
            decode_photo(opencv(".tiff", wrong.astype(np.float32)), "x.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_is_applied_to_all_depths(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = decode_photo(pillow(Image.fromarray(RGB), "PNG", exif=exif), "a")
    # The same chunk in a file of 16 bits, which another library decodes.
    data = opencv(".png", RGB.astype(np.uint16) * 257)
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    deep = decode_photo(data[:33] + chunk + data[33:], "b")
    np.testing.assert_array_equal(deep, shallow.astype(np.uint16) * 257)
    turned = {1: RGB, 3: np.rot90(RGB, 2), 6: np.rot90(RGB, -1), 8: np.rot90(RGB)}
    if orientation in turned:
        np.testing.assert_array_equal(shallow, turned[orientation])


FILES = {
    "a.jpg": pillow(Image.fromarray(RGB), "JPEG"),
    "a.webp": pillow(Image.fromarray(RGB), "WEBP"),
    "deep.png": opencv(".png", DEEP),
    "deep.tif": opencv(".tiff", DEEP),
    "float.tif": opencv(".tiff", FLOATS),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.97])
def test_truncated_files_are_refused(name, share):
    data = FILES[name]
    assert decode_photo(data, name).shape == (50, 70, 3)
    with pytest.raises(DataFileError, match=f"^{name}: .*must"):
        decode_photo(data[: int(share * len(data))], name)


def test_of_a_phones_jpeg_of_two_pictures_the_photo_is_read():
    file, notes = io.BytesIO(), []
    first, second = (Image.fromarray(picture) for picture in (RGB, RGB[::2, ::2]))
    first.save(file, "MPO", save_all=True, append_images=[second])
    read = decode_photo(file.getvalue(), "a.jpg", note=notes.append)
    np.testing.assert_array_equal(read, decode_photo(FILES["a.jpg"], "a.jpg"))
    assert notes == []


def test_of_an_animation_the_first_frame_is_read_and_told():
    frames = [Image.fromarray(picture) for picture in (RGB, 255 - RGB)]
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})):
        file, notes = io.BytesIO(), []
        frames[0].save(file, form, save_all=True, append_images=frames[1:], **options)
        read = decode_photo(file.getvalue(), "a", note=notes.append)
        assert np.abs(read.astype(int) - RGB).mean() < (20 if form == "GIF" else 1e-9)
        assert notes == ["a: the first of several frames was read"]


def png_header(width, height, depth=8):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk


def test_declared_sizes_are_checked_before_anything_is_decoded():
    bomb = png_header(60_000, 60_000) + struct.pack(">I", 0) + b"IDAT" + b"\0" * 60
    with pytest.raises(
        DataFileError, match="x.png: .*at most 400 million pixels; received 60000 x 60000"
    ):
        decode_photo(bomb, "x.png")
    # A TIFF of floats, which Pillow cannot open.
    with pytest.raises(DataFileError, match="at most 0.001 million pixels; received 70 x 50"):
        decode_photo(FILES["float.tif"], "x.tif", max_pixels=1000)
    # Within our limit, beyond the one at which Pillow warns.
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 100
    try:
        assert decode_photo(FILES["a.jpg"], "a.jpg").shape == (50, 70, 3)
        assert Image.MAX_IMAGE_PIXELS == 100
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_what_is_no_photo_says_so():
    for data, rule in ((b"hello", "of no known image format"), (b"", "must not be empty")):
        with pytest.raises(DataFileError, match=f"x: .*{rule}"):
            decode_photo(data, "x")

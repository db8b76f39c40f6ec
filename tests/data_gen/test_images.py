from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.io import images as imagefiles
from data_gen.io import search
from data_gen.io.errors import DataFileError


@pytest.fixture
def rgb():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), np.uint8), (9, 9), 2)


def test_rgb_order_and_values(tmp_path, rgb):
    for name in ("a.png", "a.bmp", "a.ppm", "a.tiff"):
        Image.fromarray(rgb).save(tmp_path / name)
        read = imagefiles.read_rgb(tmp_path / name)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, rgb)


def test_grey_alpha_palette_and_one_bit_become_rgb(tmp_path, rgb):
    image = Image.fromarray(rgb)
    for mode in ("L", "LA", "RGBA", "P", "1"):
        image.convert(mode).save(tmp_path / "a.png")
        expected = np.array(image.convert(mode).convert("RGB"))
        np.testing.assert_array_equal(imagefiles.read_rgb(tmp_path / "a.png"), expected)
    transparent = np.dstack([rgb, np.zeros(rgb.shape[:2], np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "t.png")
    np.testing.assert_array_equal(imagefiles.read_rgb(tmp_path / "t.png"), rgb)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    grey = np.array([[0, 255, 256, 32768, 65535]] * 2, np.uint16)
    cv2.imwrite(str(tmp_path / f"grey.{suffix}"), grey)
    # 255 >> 8 = 0, 256 >> 8 = 1, 32768 >> 8 = 128, 65535 >> 8 = 255
    expected = np.array([[0, 0, 1, 128, 255]] * 2, np.uint8)
    read = imagefiles.read_rgb(tmp_path / f"grey.{suffix}")
    np.testing.assert_array_equal(read, np.dstack([expected] * 3))


def test_sixteen_bit_colour(tmp_path):
    colour = np.array([[[256, 512, 65535]]], np.uint16)
    imagefiles.write_png(tmp_path / "c.png", colour)
    np.testing.assert_array_equal(imagefiles.read_rgb(tmp_path / "c.png"), [[[1, 2, 255]]])


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_rotation_is_applied(tmp_path, rgb, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(rgb).save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    read = imagefiles.read_rgb(tmp_path / f"a.{suffix}").astype(int)
    assert read.shape == (80, 60, 3)
    assert np.abs(read - np.rot90(rgb, -1)).mean() < 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["baseline.jpg", "progressive.jpg", "a.png", "a.bmp", "a.tiff"])
def test_truncated_files_are_refused(tmp_path, rgb, kind, share):
    path = tmp_path / kind
    Image.fromarray(rgb).save(path, **({"progressive": True} if "progressive" in kind else {}))
    whole = path.read_bytes()
    assert imagefiles.read_rgb(path).shape == rgb.shape
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataFileError, match=f"{kind}: .*must"):
        imagefiles.read_rgb(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    cv2.imwrite(str(tmp_path / "float.tiff"), np.ones((4, 5), np.float32))
    for name, rule in (
        ("text.jpg", "complete, valid image"),
        ("float.tiff", "8 or 16 bits"),
        ("missing.png", "must exist"),
    ):
        with pytest.raises(DataFileError, match=f"{name}: .*{rule}"):
            imagefiles.read_rgb(tmp_path / name)
    with pytest.raises(DataFileError, match=r"text.jpg: must be a complete, valid image"):
        imagefiles.read_stored(tmp_path / "text.jpg")


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_round_trip_is_exact(tmp_path, shape, dtype):
    array = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape, dtype)
    imagefiles.write_png(tmp_path / "new" / "a.png", array)
    read = imagefiles.read_stored(tmp_path / "new" / "a.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


def test_png_refuses_what_it_cannot_hold():
    for array in (np.zeros((4, 5)), np.zeros((4, 5, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ValueError, match="uint8 or uint16"):
            imagefiles.encode_png(array)


def test_single_channel_of_a_map():
    grey = np.arange(6, dtype=np.uint16).reshape(2, 3)
    np.testing.assert_array_equal(imagefiles.single_channel(grey, "m"), grey)
    np.testing.assert_array_equal(imagefiles.single_channel(np.dstack([grey] * 3), "m"), grey)
    with pytest.raises(DataFileError, match="m.png: .*channels must be equal"):
        imagefiles.single_channel(np.dstack([grey, grey, grey + 1]), "m.png")


def test_files_by_stem():
    paths = [Path("d/b.png"), Path("d/sub/a.jpg")]
    assert imagefiles.by_stem(paths) == {"b": paths[0], "a": paths[1]}
    tree = imagefiles.by_stem(paths, Path("d"))
    assert list(tree) == [Path("b"), Path("sub/a")]
    with pytest.raises(DataFileError, match="^d/b.jpg: each name must belong to one file; d/b.png"):
        imagefiles.by_stem([*paths, Path("d/b.jpg")])


def test_list_images_natural_order_and_errors(tmp_path):
    for name in ("f10.png", "f9.PNG", "b2.jpg", "notes.txt", ".hidden.png", "sub/f1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in search.list_images(tmp_path)] == ["b2.jpg", "f9.PNG", "f10.png"]
    found = search.find_files(tmp_path, (".png",))
    assert [p.name for p in found] == ["f9.PNG", "f10.png", "f1.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="empty: .*must hold images"):
        search.list_images(tmp_path / "empty")
    with pytest.raises(DataFileError, match="nowhere: must be a folder"):
        search.list_images(tmp_path / "nowhere")


def test_natural_key_sorts_any_mix():
    names = ["10", "9", "a", "a10b", "a9b", "", "1a", "00", "0"]
    assert sorted(names, key=search.natural_key) == [
        "", "0", "00", "1a", "9", "10", "a", "a9b", "a10b",
    ]  # fmt: skip

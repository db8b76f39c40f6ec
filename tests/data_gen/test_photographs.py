"""The packaged photographs: which are found, that nothing is fetched, that textures are sharp."""

import shutil
import socket

import cv2
import numpy as np
import pytest

from data_gen.scenes import photographs
from data_gen.scenes.photographs import (
    load_photographs,
    load_texture_photographs,
    read_packaged_image,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in the place of scikit-image's, with the caches emptied around the test."""
    caches = photographs._photographs, photographs._texture_photographs
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(photographs, "_FOLDER", tmp_path)
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def edge_sigma(image, strength=12):
    """Blur sigma in pixels at edges of over `strength` grey levels, after Zhuo and Sim (2011).

    At a step blurred by s the gradient is 1/s; a further blur by 1 px makes it 1/sqrt(s^2 + 1).
    Hence with their ratio R, s = 1/sqrt(R^2 - 1).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = []
    for axis, window in ((0, (5, 1)), (1, (1, 5))):
        sharp = np.abs(np.diff(grey, axis=axis))
        blurred = np.abs(np.diff(cv2.GaussianBlur(grey, (0, 0), 1.0), axis=axis))
        edges = (sharp == cv2.dilate(sharp, np.ones(window))) & (sharp > strength)
        # 1e-3: no gradient left; 1.02: blur above 5 px is not told apart.
        ratio = sharp[edges] / np.maximum(blurred[edges], 1e-3)
        found.append(1 / np.sqrt(np.maximum(ratio**2, 1.02) - 1 + 1e-6))
    return np.concatenate(found)


def test_all_are_eight_bit_rgb_and_at_least_four():
    for load in (load_photographs, load_texture_photographs):
        found = load()
        assert len(found) >= photographs.MINIMUM_PHOTOGRAPHS
        for name, image in found.items():
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, name
            assert min(image.shape[:2]) >= 64, name
            assert image.std() > 5, name


def test_photographs_are_in_colour_and_in_rgb_order():
    for name, image in load_photographs().items():
        assert np.abs(image[..., 0].astype(int) - image[..., 2]).mean() > 2, name
    # The astronaut's suit is orange: red above green above blue.
    red, green, blue = load_photographs()["astronaut"][300:360, 100:160].mean((0, 1))
    assert red > green + 30 > blue + 40


def test_arrays_are_shared_and_read_only_and_the_dict_is_the_callers():
    first, second = load_photographs(), load_photographs()
    assert all(first[name] is second[name] for name in first)
    with pytest.raises(ValueError, match="read-only"):
        first["coffee"][0, 0] = 0
    first.clear()
    assert load_photographs().keys() == second.keys()


def test_reads_without_a_network(monkeypatch):
    for cache in (photographs._photographs, photographs._texture_photographs):
        cache.cache_clear()

    def refuse(*_args, **_kwargs):
        raise AssertionError("a photograph must come from the installed package")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(load_photographs()) >= 4
    assert len(load_texture_photographs()) >= 4


def test_the_measure_of_blur_is_right_on_a_blurred_step():
    step = np.zeros((20, 60, 3), np.uint8)
    step[:, 30:] = 220
    for sigma in (1.0, 2.0):
        blurred = cv2.GaussianBlur(step, (0, 0), sigma)
        # Differences of neighbours blur a little themselves; rounding to 8 bits adds the rest.
        assert np.median(edge_sigma(blurred)) == pytest.approx(sigma, abs=0.12)


def test_texture_photographs_are_sharp_and_the_measure_sees_blur():
    for name, image in load_texture_photographs().items():
        assert np.percentile(edge_sigma(image), 90) < 1.0, name
        softened = cv2.GaussianBlur(image, (0, 0), 1.5)
        assert np.median(edge_sigma(softened)) > 1.0, name


def test_the_cats_defocused_room_is_left_out():
    # The last 90 columns of the cat's photo show the room behind it, whose edges are weak.
    room = load_photographs()["chelsea"][100:, -90:]
    assert np.median(edge_sigma(room, strength=5)) > 1.4
    assert np.median(edge_sigma(load_texture_photographs()["chelsea"], strength=5)) < 0.6


def test_missing_files_are_skipped_but_not_below_four(folder):
    source = photographs.Path(photographs.skimage.__file__).parent / "data"
    kept = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    for file_name in kept[:3]:
        shutil.copy(source / file_name, folder)
    with pytest.raises(FileNotFoundError, match=r"at least 4 .* received 3 .*astronaut") as error:
        load_photographs()
    assert str(folder) in str(error.value)
    shutil.copy(source / kept[3], folder)
    assert set(load_photographs()) == {"astronaut", "chelsea", "coffee", "rocket"}
    assert set(load_texture_photographs()) == {"astronaut", "chelsea", "coffee", "rocket"}


def test_reading_grey_transparent_absent_and_unfit_files(folder):
    cv2.imwrite(str(folder / "grey.png"), np.full((3, 4), 77, np.uint8))
    assert np.array_equal(read_packaged_image("grey.png"), np.full((3, 4, 3), 77))
    # Red at alpha 51 = 0.2 over white: 0.2 * (255, 0, 0) + 0.8 * 255 = (255, 204, 204).
    cv2.imwrite(str(folder / "red.png"), np.full((2, 2, 4), (0, 0, 255, 51), np.uint8))
    assert np.array_equal(read_packaged_image("red.png"), np.full((2, 2, 3), (255, 204, 204)))
    assert read_packaged_image("absent.png") is None
    cv2.imwrite(str(folder / "deep.png"), np.full((2, 2), 999, np.uint16))
    with pytest.raises(ValueError, match=r"must hold uint8 .* received uint16 .*deep\.png"):
        read_packaged_image("deep.png")

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from data_gen.io.pixels import DISPLAY_GAMMA
from data_gen.scenes.shapes import Shape
from dmenet_tf.data import cutouts


def test_examples_are_a_pure_function_of_seed_and_index_in_any_thread():
    photos = cutouts.CutoutPhotos(seed=4, count=12, size=64)
    serial = [photos.read(i) for i in range(12)]
    again = cutouts.CutoutPhotos(seed=4, count=99, size=64)
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(again.read, reversed(range(12))))[::-1]
    for (image, blurred), (other_image, other_blurred) in zip(serial, threaded, strict=True):
        np.testing.assert_array_equal(image, other_image)
        np.testing.assert_array_equal(blurred, other_blurred)
    other_seed = cutouts.CutoutPhotos(seed=5, count=12, size=64)
    assert all((other_seed.read(i)[0] != serial[i][0]).any() for i in range(12))
    assert len({photos.name(i) for i in range(12)}) == len(photos) == 12


@pytest.mark.parametrize("size", [32, 97])
def test_examples_hold_both_classes(size):
    photos = cutouts.CutoutPhotos(seed=0, count=40, size=size)
    shares = []
    for index in range(40):
        image, blurred = photos.read(index)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        assert blurred.shape == (size, size) and blurred.dtype == np.float32
        assert set(np.unique(blurred)) == {0.0, 1.0}
        shares.append(blurred.mean())
    # An object covers 12 % to 70 %; where it is the sharp part, its complement is blurred.
    assert min(shares) >= 0.12 and max(shares) <= 0.88
    # Both arrangements: a blurred object cannot cover 75 %, a blurred ground nearly always can.
    assert min(shares) < 0.4 and max(shares) > 0.72


@pytest.mark.parametrize("radius_px", [2.0, 3.3, 6.5, 10.0])
def test_disc_kernel_against_subpixels(radius_px):
    kernel = cutouts.disc_kernel(radius_px)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, kernel[::-1])
    # Reference: 20 x 20 points a pixel, counted inside the circle.
    reach = kernel.shape[0] // 2
    points = (np.arange(20 * (2 * reach + 1)) + 0.5) / 20 - reach - 0.5
    inside = (np.hypot(points, points[:, None]) <= radius_px).astype(float)
    share = inside.reshape(2 * reach + 1, 20, 2 * reach + 1, 20).mean((1, 3))
    np.testing.assert_allclose(kernel, share / share.sum(), atol=0.1 * kernel.max())
    # Variance of a disc along an axis: (r/2)^2, so r/2 = coc/4 as the project's sigma; a pixel's
    # own width adds 1/12.
    at = np.arange(-reach, reach + 1)
    deviation = np.sqrt((kernel.sum(0) * at**2).sum())
    assert deviation == pytest.approx(np.sqrt(radius_px**2 / 4 + 1 / 12), rel=0.04)


def test_composite_by_hand():
    # A quarter covered by 0.8, ground 0.4: 0.25 * 0.8 + 0.75 * 0.4 = 0.5.
    alpha = np.full((1, 1), 0.25, np.float32)
    front, ground = np.full((1, 1, 3), 0.25 * 0.8), np.full((1, 1, 3), 0.4)
    np.testing.assert_allclose(cutouts.composite(front, alpha, ground), 0.5, rtol=1e-6)


def test_blurred_object_has_no_dark_rim():
    # An object as bright as its ground leaves no trace, however it is blurred.
    alpha = np.zeros((60, 60), np.float32)
    alpha[20:40, 15:50] = 1.0
    disc = cutouts.disc_kernel(5.0)
    front = cv2.filter2D(np.repeat(0.7 * alpha[..., None], 3, 2), -1, disc)
    image = cutouts.composite(front, cv2.filter2D(alpha, -1, disc), np.full((60, 60, 3), 0.7))
    np.testing.assert_allclose(image, 0.7, atol=1e-5)


def test_outline_is_filled_with_its_holes():
    square = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    alpha = np.zeros((41, 41), np.uint8)
    cutouts._fill(alpha, Shape([square, square * 0.5], []), np.array([20.0, 20.0]), 16.0)
    # Side 32 less side 16, each with half a pixel of rim around.
    assert alpha[20, 20] == 0 and alpha[20, 8] == 255 and alpha[20, 1] == 0
    assert np.mean(alpha > 127) * 41**2 == pytest.approx(33**2 - 16**2, abs=40)


def test_camera_stores_gamma_with_little_noise():
    # 0.25 ** (1 / 2.2) * 255 = 135.8
    stored = cutouts._photograph(np.random.default_rng(0), np.full((64, 64, 3), 0.25, np.float32))
    assert stored.dtype == np.uint8
    assert stored.mean() == pytest.approx(135.8, abs=1.0)
    assert 0 < stored.std() < 8


def test_linear_light_and_back():
    ramp = np.arange(256, dtype=np.uint8)[None]
    linear = cutouts._to_linear(ramp, highlights=0.0)
    np.testing.assert_array_equal(np.rint(linear ** (1 / DISPLAY_GAMMA) * 255), ramp)
    # Highlights: white becomes 1 + 2 times as bright, middle grey (0.218 linear) hardly changes.
    bright = cutouts._to_linear(ramp, highlights=2.0)
    assert bright[0, 255] == pytest.approx(3.0)
    assert bright[0, 128] == pytest.approx(linear[0, 128], rel=1e-4)


def test_errors_name_the_rule():
    with pytest.raises(ValueError, match="at least 32 px; received 31"):
        cutouts.CutoutPhotos(0, 10, 31)
    with pytest.raises(IndexError, match=r"\[0, 10\); received 10"):
        cutouts.CutoutPhotos(0, 10, 32).read(10)

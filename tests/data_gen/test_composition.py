"""Procedural scenes: purity, sizes, exact backgrounds, sharpness, variety."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from data_gen.scenes.composition import Limits, background_planes, make_scene
from data_gen.scenes.surfaces import Camera, plane_inverse_depth

# Purity


def test_same_arguments_same_scene_whatever_came_before():
    first = make_scene(3, 5, 40, 48)
    make_scene(9, 9, 20, 20)
    make_scene(3, 6, 40, 48)
    again = make_scene(3, 5, 40, 48)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


def test_same_scenes_in_threads():
    alone = [make_scene(1, index, 40, 40) for index in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: make_scene(1, index, 40, 40), range(16)))
    for (image, depth), (image_2, depth_2) in zip(alone, together, strict=True):
        assert np.array_equal(image, image_2) and np.array_equal(depth, depth_2)


def test_global_random_state_is_neither_read_nor_moved():
    np.random.seed(0)  # noqa: NPY002  (the state is what is tested)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_scene(0, 0, 32, 32)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_seed_and_index_are_not_interchangeable():
    scenes = [make_scene(seed, index, 32, 32)[1] for seed, index in ((0, 1), (1, 0), (1, 1))]
    assert not np.array_equal(scenes[0], scenes[1])
    assert not np.array_equal(scenes[1], scenes[2])


# Values and sizes


@pytest.mark.parametrize("height, width", [(1, 1), (1, 50), (50, 1), (2, 3), (37, 53), (96, 64)])
def test_dtype_shape_and_range_at_any_size(height, width):
    for index in range(12):
        image, depth = make_scene(2, index, height, width)
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        assert depth.shape == (height, width) and depth.dtype == np.float32
        assert np.isfinite(depth).all() and depth.min() > 0
        # The limits' largest ratio is 8; an outline's outer half pixel may reach a little beyond.
        assert depth.max() / depth.min() < 8.5


@pytest.mark.parametrize(
    "arguments, rule",
    [
        ((0, 0, 0, 8), "height and width must be >= 1; received 0 and 8"),
        ((0, 0, 8, -1), "height and width must be >= 1; received 8 and -1"),
        ((-1, 0, 8, 8), "seed and index must be >= 0; received -1 and 0"),
        ((0, -2, 8, 8), "seed and index must be >= 0; received 0 and -2"),
    ],
)
def test_bad_arguments_are_refused(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        make_scene(*arguments)


# Exact depth


def test_backgrounds_are_affine_in_inverse_depth_and_within_the_limits():
    size, camera = 64, Camera(80.0, 31.5, 31.5)
    limits = Limits(0.125, 1.0)
    window = slice(0, size), slice(0, size)
    counts = set()
    for seed in range(40):
        planes = background_planes(np.random.default_rng(seed), camera, limits, size, size)
        counts.add(len(planes))
        surfaces = np.stack([plane_inverse_depth(plane, camera, window) for plane in planes])
        for surface in surfaces:
            for axis in (0, 1):
                np.testing.assert_allclose(np.diff(surface, 2, axis=axis), 0, atol=1e-6)
        background = surfaces.max(0)
        assert background.min() >= limits.far - 1e-6 and background.max() <= limits.near + 1e-6
    assert {1, 2, 3} <= counts


# Statistics over scenes


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(7, index, 80, 80) for index in range(120)]


def test_depths_vary(scenes):
    ratios = np.array([depth.max() / depth.min() for _, depth in scenes])
    assert ratios.min() < 1.9 and ratios.max() > 6 and 2.5 < np.median(ratios) < 4.5
    assert len(np.unique(ratios.round(2))) > 100
    nearest = np.array([depth.min() for _, depth in scenes])
    assert nearest.max() / nearest.min() > 5  # the unit of depth means nothing
    # Most pictures have steps in depth, and some have dense slopes: many distinct depths.
    distinct = [len(np.unique(depth)) / depth.size for _, depth in scenes]
    assert np.mean(np.array(distinct) > 0.3) > 0.4


def test_brightness_contrast_and_colour_do_not_tell_depth(scenes):
    def correlation(values, depth):
        return np.corrcoef(values.ravel(), 1 / depth.ravel())[0, 1] if values.std() > 0 else 0.0

    brightness, contrast, saturation = [], [], []
    for image, depth in scenes:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        brightness.append(correlation(grey, depth))
        contrast.append(correlation(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), depth))
        saturation.append(correlation(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1], depth))
    for correlations in (brightness, contrast, saturation):
        # One scene's correlation has a deviation of about 0.35, the mean of 120 one of 0.03.
        assert abs(np.mean(correlations)) < 0.12
    # Single scenes must go either way.
    assert min(brightness) < -0.4 and max(brightness) > 0.4


def test_scenes_are_sharp_and_the_measure_sees_blur(scenes):
    def energy(image):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return cv2.Laplacian(grey, cv2.CV_32F).var()

    energies = np.array([energy(image) for image, _ in scenes])
    softened = np.array([energy(cv2.GaussianBlur(image, (0, 0), 1.5)) for image, _ in scenes])
    assert np.mean(energies > 150) > 0.85
    assert np.mean(softened > 150) < 0.15


def test_exposure_is_like_that_of_photographs(scenes):
    means = np.array([image.mean() for image, _ in scenes])
    assert 80 < np.median(means) < 150
    assert np.percentile(means, 95) - np.percentile(means, 5) > 60
    assert np.mean([(image == 255).mean() for image, _ in scenes]) < 0.1


def test_a_ground_that_touches_the_near_plane():
    # Rounded to float32, this scene's ground comes out a hair nearer than the near plane.
    _, depth = make_scene(0, 1532, 120, 120)
    assert np.isfinite(depth).all() and depth.min() > 0

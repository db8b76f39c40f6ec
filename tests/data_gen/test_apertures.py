"""Kernels of the apertures, light and noise, against numbers worked out by hand."""

import numpy as np
import pytest

from data_gen.rendering import apertures, compositing
from data_gen.rendering.options import Realism

SIGMAS = np.array([0.0, 0.5, 2.0, 5.0, 7.0], np.float32)
NOT_IN_FRONT = np.zeros(5, bool)


def moments(kernel):
    """Mean and variance of a kernel along x and y."""
    axis = np.arange(-14, 15)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    mean = (kernel * x).sum(), (kernel * y).sum()
    return mean, ((kernel * x * x).sum() - mean[0] ** 2, (kernel * y * y).sum() - mean[1] ** 2)


@pytest.mark.parametrize("aperture", ["gaussian", "disc", "polygon"])
def test_kernels_have_sum_1_and_sigma_0_is_the_identity(aperture):
    kernels = apertures.kernels(SIGMAS, NOT_IN_FRONT, Realism(aperture)).numpy()
    assert kernels.shape == (5, 29, 29) and kernels.min() >= 0
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    assert kernels[0, 14, 14] == pytest.approx(1)


def test_a_disc_has_the_diameter_of_the_coc_and_the_variance_of_the_gaussian():
    kernels = apertures.kernels(SIGMAS, NOT_IN_FRONT, Realism("disc")).numpy()
    # sigma 5 px: coc 20 px, radius 10 px; a flat plateau of 1/(pi 10^2), half of it at the edge.
    row = kernels[3, 14] * np.pi * 100
    np.testing.assert_allclose(row[[14, 14 + 9, 14 + 10, 14 + 11]], [1, 1, 0.5, 0], atol=0.02)
    for sigma_px, kernel in zip(SIGMAS[2:], kernels[2:], strict=True):
        mean, variance = moments(kernel)
        np.testing.assert_allclose(mean, 0, atol=1e-5)
        np.testing.assert_allclose(variance, sigma_px**2, rtol=0.04)


def test_a_disc_against_one_sampled_64_times_a_pixel():
    kernel = apertures.kernels([4.3], [False], Realism("disc"))[0].numpy()
    fine = (np.arange(29 * 64) + 0.5) / 64 - 14.5
    inside = (fine[:, None] ** 2 + fine[None] ** 2 <= 8.6**2).astype(float)
    expected = inside.reshape(29, 64, 29, 64).mean((1, 3))
    expected /= expected.sum()
    # Distance to the edge stands for the covered area: off by at most a tenth of a full tap.
    np.testing.assert_allclose(kernel, expected, atol=0.1 * expected.max())
    assert np.abs(kernel - expected).sum() < 0.02


def test_a_polygon_has_the_disc_s_area_its_corners_and_turns_in_front():
    triangle = Realism("polygon", blades=3, rotation_deg=90.0)
    behind, before = apertures.kernels([4.0, 4.0], [False, True], triangle).numpy()
    # The plateau's height is 1/area, and the area that of a disc of radius 8.
    assert 1 / behind[14, 14] == pytest.approx(np.pi * 64, rel=0.02)
    # A corner at 90 degrees from x points down (y grows downwards); nothing is as far up.
    assert behind[14 + 11, 14] > 0 and behind[14 - 11, 14] == 0
    np.testing.assert_allclose(before, behind[::-1, ::-1], atol=1e-7)
    hexagon = apertures.kernels([4.0], [False], Realism("polygon", blades=6))[0].numpy()
    np.testing.assert_allclose(hexagon, hexagon[::-1, ::-1], atol=1e-7)
    # Corner radius of a hexagon with the area of a disc of 8 px: 8.80 px, apothem 7.62 px.
    assert hexagon[14, 14 + 8] > 0.3 * hexagon[14, 14]
    assert hexagon[14 + 9, 14] == 0


def test_rendering_with_a_disc_is_the_plain_convolution_of_one_layer():
    rng = np.random.default_rng(0)
    image = rng.random((50, 61, 3)).astype(np.float32)
    rendered = compositing.blend_layers(
        image, np.zeros((50, 61), np.int32), [5.0], realism=Realism("disc")
    )
    kernel = apertures.kernels([5.0], [False], Realism("disc"))[0].numpy()
    padded = np.pad(image, [(14, 14), (14, 14), (0, 0)], mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (29, 29), axis=(0, 1))
    expected = np.einsum("hwcij,ij->hwc", windows, kernel)
    np.testing.assert_allclose(rendered, expected, atol=1e-5)


def test_a_point_of_light_grows_into_the_aperture_s_shape_not_its_mirror_image():
    image = np.zeros((60, 60, 3), np.float32)
    image[30, 30] = 1
    triangle = Realism("polygon", blades=3, rotation_deg=90.0)
    rendered = compositing.blend_layers(
        image, np.zeros((60, 60), np.int32), [4.0], realism=triangle, first_near=1
    ).numpy()
    kernel = apertures.kernels([4.0], [False], triangle)[0].numpy()
    np.testing.assert_allclose(rendered[16:45, 16:45, 0], kernel, atol=1e-6)

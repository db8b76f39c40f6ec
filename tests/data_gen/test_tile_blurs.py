"""The blur of a tile as matrix products, against the sum over the kernel's taps."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from data_gen.rendering import apertures, tile_blurs
from data_gen.rendering.options import Realism
from data_gen.rendering.tile_blurs import TILE, WINDOW

SIGMAS = np.float32([0.0, 0.6, 3.3, 7.0])
WAYS = {
    "gaussian": (lambda kernels: tile_blurs.gaussian_bands(SIGMAS), tile_blurs.blur_by_band),
    "disc": (tile_blurs.even_spectra, tile_blurs.blur_by_spectrum),
}


@pytest.mark.parametrize("aperture", WAYS)
def test_it_is_the_plain_convolution(aperture):
    kernels = apertures.kernels(SIGMAS, [False] * len(SIGMAS), Realism(aperture))
    parameters, blur = WAYS[aperture]
    parameters = parameters(kernels)
    stack = np.random.default_rng(0).random((WINDOW, 4, WINDOW), np.float32)
    for i in range(len(SIGMAS)):
        blurred = blur(stack, parameters[i]).numpy()
        assert blurred.shape == (TILE, 4, TILE)
        for plane in range(4):
            expected = convolve2d(stack[:, plane], kernels[i].numpy(), "valid")
            # Four products of 68 terms below 1, in float32.
            np.testing.assert_allclose(blurred[:, plane], expected, atol=4 * 68 * 2**-24)


def test_layers_come_in_one_number():
    kernels = apertures.kernels(SIGMAS, [False] * len(SIGMAS), Realism("disc"))
    assert len(tile_blurs.even_spectra(kernels)) == len(tile_blurs.gaussian_bands(SIGMAS)) == 350

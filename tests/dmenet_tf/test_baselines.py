"""Baselines: their formulas on pictures whose blur is known, and their ranges."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dmenet_tf.evaluation import baselines


def natural_like(side=256, seed=0):
    """A grey picture with the power spectrum 1/f^2 that photographs have on average."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij"))
    frequency[0, 0] = np.inf
    picture = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) / frequency).real
    return (picture - picture.min()) / np.ptp(picture)


def as_photo(grey):
    return np.repeat(np.uint8(np.rint(255 * grey))[..., None], 3, axis=-1)


def test_always_blurred_is_one_everywhere():
    assert np.array_equal(baselines.always_blurred(np.zeros((3, 5, 3), np.uint8)), np.ones((3, 5)))


@pytest.mark.parametrize("sigma_px", [0.0, 1.0, 2.0, 4.0])
def test_two_scales_tell_the_blur_of_a_natural_spectrum(sigma_px):
    blurred = gaussian_filter(natural_like(), sigma_px, mode="wrap")
    estimated = baselines.log_laplacian_sigma_px(as_photo(blurred))
    assert np.median(estimated) == pytest.approx(sigma_px, abs=0.45)


def test_contrast_does_not_change_the_blur_in_pixels():
    picture = gaussian_filter(natural_like(), 1.5)
    strong = baselines.log_laplacian_sigma_px(as_photo(picture))
    weak = baselines.log_laplacian_sigma_px(as_photo(0.4 + 0.3 * picture))
    assert np.median(weak) == pytest.approx(np.median(strong), abs=0.15)


SCORES = [baselines.laplacian_score, baselines.log_laplacian_score]


@pytest.mark.parametrize("score_of", SCORES)
def test_the_score_is_higher_in_the_blurred_half(score_of):
    picture = natural_like()
    picture[:, 128:] = gaussian_filter(picture, 3.0)[:, 128:]
    score = score_of(as_photo(picture))
    assert score.dtype == np.float32 and score.min() == 0.0 and score.max() == 1.0
    assert score[:, 150:].min() > score[:, :106].max()


def test_the_laplacian_by_hand():
    # One pixel is 1 above a ground: the Laplacian is -4 there and 1 at its four neighbours, its
    # squares sum to 20. Far from the borders a Gaussian window of 16 px spreads them, so that the
    # energy at distance d is 20 exp(-d^2 / (2 * 16^2)) / (2 pi 16^2), nearly: and log E falls by
    # d^2 / 512. Rounding adds 20 (1/255)^2 / 12 to every pixel.
    image = np.zeros((141, 141, 3), np.uint8)
    image[70, 70] = 255
    score = baselines.laplacian_score(image)[70, 70:110].astype(float)
    energy = 20 * np.exp(-(np.arange(40.0) ** 2) / 512) / (2 * np.pi * 256)
    expected = -np.log(energy + 20 / 255**2 / 12)
    assert score[0] == 0.0  # the finest detail
    share = score[1:] / score[39]
    assert share == pytest.approx(
        (expected[1:] - expected[0]) / (expected[39] - expected[0]), abs=0.01
    )


def test_a_flat_photo_has_no_detail_and_no_nan():
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert (baselines.log_laplacian_sigma_px(flat) == 7.0).all()
    for score_of in SCORES:
        score = score_of(flat)
        assert score.shape == (20, 30) and (score == 1.0).all()


def test_a_photo_of_one_pixel_has_a_map():
    one = np.full((1, 1, 3), 200, np.uint8)
    assert baselines.log_laplacian_sigma_px(one).shape == (1, 1)
    assert [score_of(one)[0, 0] for score_of in SCORES] == [1.0, 1.0]

"""Units, and the encodings of the map."""

import numpy as np
import pytest

from data_gen import optics
from data_gen.optics import ENCODINGS


def test_units_by_hand():
    # A COC of 14 px is half of 28: sigma 14/4 = 3.5 px, defocus 0.5.
    assert optics.coc_to_sigma(14.0) == 3.5
    assert optics.coc_to_defocus(14.0) == 0.5
    assert optics.sigma_to_defocus(3.5) == 0.5
    for there, back in [
        (optics.coc_to_sigma, optics.sigma_to_coc),
        (optics.coc_to_defocus, optics.defocus_to_coc),
        (optics.sigma_to_defocus, optics.defocus_to_sigma),
    ]:
        np.testing.assert_allclose(back(there(np.linspace(0, 7, 8))), np.linspace(0, 7, 8))


def test_alpha_of_a_camera_by_hand():
    # F = 50, S1 = 1050: f1 = 50*1050/1000 = 52.5 mm, f1/S1 = 0.05; D = 50/2 = 25 mm: 1.25 mm,
    # at 4 px/mm: 5 px.
    assert optics.alpha_from_camera(50.0, 1050.0, 2.0, 4.0) == pytest.approx(5.0)
    assert optics.f_number_from_alpha(5.0, 50.0, 1050.0, 4.0) == pytest.approx(2.0)


# sigma 3.5 px. paper: 65535/2 = 32767.5 -> 32768 (to even); label 3.5/7. generator: 35; 3.5/7.
# released: c = 2*3.5 + 1 = 8 -> 80; label 8/15.
BY_HAND = {"paper": (32768, 0.5), "generator": (35, 0.5), "released": (80, 8 / 15)}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encoding_by_hand(name):
    stored, label = BY_HAND[name]
    assert ENCODINGS[name].encode(3.5) == stored
    assert ENCODINGS[name].sigma_to_label(3.5) == pytest.approx(label)


@pytest.mark.parametrize("name", ENCODINGS)
def test_encoding_round_trips(name):
    encoding = ENCODINGS[name]
    lowest = int(encoding.encode(0.0))
    stored = np.arange(lowest, encoding.stored_max + 1).astype(np.uint16)
    np.testing.assert_array_equal(encoding.encode(encoding.decode(stored)), stored)
    sigma_px = np.linspace(0, optics.SIGMA_MAX_PX, 101)
    half_step = 0.5 / (encoding.scale * encoding.gain)
    assert np.abs(encoding.decode(encoding.encode(sigma_px)) - sigma_px).max() < half_step + 1e-5
    labels = encoding.sigma_to_label(sigma_px)
    np.testing.assert_allclose(encoding.label_to_sigma(labels), sigma_px, atol=1e-5)


def test_released_label_of_a_sharp_pixel_may_fall_below_one_pixel_of_c():
    # The published network may answer less than 1/15: that is sharp, not a negative sigma.
    assert ENCODINGS["released"].label_to_sigma(0.02) == 0.0


@pytest.mark.parametrize("name, top", [("generator", 70), ("released", 150), ("paper", 65535)])
def test_stored_maximum(name, top):
    assert ENCODINGS[name].stored_max == top
    assert ENCODINGS[name].decode(np.uint16(top)) == pytest.approx(7.0)


def test_values_above_the_maximum_are_refused():
    with pytest.raises(ValueError, match="'generator' encoding holds values up to 70.*120"):
        ENCODINGS["generator"].decode(np.array([3, 120], np.uint16))
    with pytest.raises(ValueError, match="sigma_px must lie in .* received values from .* to 9"):
        ENCODINGS["paper"].encode([0.0, 9.0])
    with pytest.raises(ValueError, match="sigma_px must lie in"):
        ENCODINGS["paper"].encode([float("nan")])

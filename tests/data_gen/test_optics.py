"""Units, and the encodings of the map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

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


# --- for any numbers -----------------------------------------------------------------------------

SCHEMES = st.sampled_from(list(ENCODINGS.values()))
SIGMAS_PX = st.floats(0, optics.SIGMA_MAX_PX)
TOO_LARGE_PX = st.floats(optics.SIGMA_MAX_PX + 1e-3)
NO_SIGMAS_PX = TOO_LARGE_PX | st.floats(max_value=-1e-9) | st.just(float("nan"))
MAPS_PX = arrays(np.float64, array_shapes(max_dims=2, max_side=5), elements=SIGMAS_PX)


@given(SCHEMES, MAPS_PX)
def test_a_map_survives_storing_to_half_a_step(scheme, sigma_px):
    stored = scheme.encode(sigma_px)
    assert stored.dtype == np.uint16 and stored.shape == sigma_px.shape
    assert stored.max() <= scheme.stored_max
    decoded = scheme.decode(stored)
    half_step_px = 0.5 / (scheme.scale * scheme.gain)
    # float32 in `decode`: some roundings of numbers up to 15, 2^-23 * 15 = 2e-6 each.
    assert np.abs(decoded - sigma_px).max() <= half_step_px + 1e-5
    np.testing.assert_array_equal(scheme.encode(decoded), stored)


@given(SCHEMES, st.data())
def test_every_legal_number_is_one_sigma_and_comes_back(scheme, data):
    low = int(scheme.encode(0.0))
    stored = data.draw(arrays(np.uint16, 4, elements=st.integers(low, scheme.stored_max)))
    np.testing.assert_array_equal(scheme.encode(scheme.decode(stored)), stored)


@given(SCHEMES, SIGMAS_PX, SIGMAS_PX)
def test_more_blur_is_never_a_smaller_number(scheme, a, b):
    low, high = sorted((a, b))
    assert scheme.encode(low) <= scheme.encode(high)
    assert scheme.sigma_to_label(low) <= scheme.sigma_to_label(high) <= 1 + 1e-12


@given(SCHEMES, SIGMAS_PX)
def test_labels_come_back(scheme, sigma_px):
    label = np.float64(scheme.sigma_to_label(sigma_px))
    assert abs(scheme.label_to_sigma(label) - sigma_px) <= 1e-6


@given(SCHEMES, NO_SIGMAS_PX)
def test_a_sigma_beyond_the_range_is_refused(scheme, sigma_px):
    with pytest.raises(ValueError, match="sigma_px must lie in"):
        scheme.encode([1.0, sigma_px])


@given(SCHEMES, st.floats(0, 1e-4))
def test_a_rounding_error_beyond_a_full_blur_is_a_full_blur(scheme, excess_px):
    assert scheme.encode(optics.SIGMA_MAX_PX + excess_px) == scheme.stored_max


@given(SCHEMES, st.integers(1, 10**6), st.booleans())
def test_a_number_beyond_the_range_is_refused_and_named(scheme, beyond, negative):
    wrong = -beyond if negative else scheme.stored_max + beyond
    with pytest.raises(ValueError, match=f"'{scheme.name}' .* received {wrong}: is it in another"):
        scheme.decode(np.array([scheme.stored_max, wrong], np.int64))


@given(st.floats(0, 28))
def test_units_are_one_another(coc_px):
    sigma_px, defocus = optics.coc_to_sigma(coc_px), optics.coc_to_defocus(coc_px)
    assert optics.sigma_to_defocus(sigma_px) == pytest.approx(defocus, rel=1e-15)
    for there, back in (
        (optics.coc_to_sigma, optics.sigma_to_coc),
        (optics.coc_to_defocus, optics.defocus_to_coc),
    ):
        assert back(there(coc_px)) == pytest.approx(coc_px, rel=1e-15)


@given(st.floats(5, 400), st.floats(1.5, 1e4), st.floats(0.7, 32), st.floats(1, 400))
def test_a_camera_has_one_f_number_for_an_alpha(focal_mm, ratio, f_number, pixels_per_mm):
    camera = (focal_mm, focal_mm * ratio)
    alpha_px = optics.alpha_from_camera(*camera, f_number, pixels_per_mm)
    assert alpha_px > 0
    back = optics.f_number_from_alpha(alpha_px, *camera, pixels_per_mm)
    assert back == pytest.approx(f_number, rel=1e-12)

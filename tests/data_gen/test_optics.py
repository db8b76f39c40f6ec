"""Units, the thin lens, both samplers, and the encodings of the map."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.optics import ENCODINGS, Lens


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


def test_thin_lens_by_hand():
    lens = Lens(focus_distance=2.0, alpha_px=10.0)
    # x = 1: 10*(1 - 2)/1 = -10 (nearer than focus); x = 2: 0; x = 4: 10*2/4 = 5.
    depth = tf.constant([1.0, 2.0, 4.0])
    np.testing.assert_allclose(optics.signed_coc_px(depth, lens), [-10, 0, 5])
    np.testing.assert_allclose(optics.defocus_map(depth, lens), [10 / 28, 0, 5 / 28])
    # The generator's lens: a COC of 1 px is sharp, so 10 px blur like 9.
    sharp = lens._replace(sharp_coc_px=1.0)
    np.testing.assert_allclose(optics.defocus_map(depth, sharp), [9 / 28, 0, 4 / 28], rtol=1e-6)


def test_alpha_of_a_camera_by_hand():
    # F = 50, S1 = 1050: f1 = 50*1050/1000 = 52.5 mm, f1/S1 = 0.05; D = 50/2 = 25 mm: 1.25 mm,
    # at 4 px/mm: 5 px.
    assert optics.alpha_from_camera(50.0, 1050.0, 2.0, 4.0) == pytest.approx(5.0)
    assert optics.f_number_from_alpha(5.0, 50.0, 1050.0, 4.0) == pytest.approx(2.0)


@pytest.mark.parametrize("scene", ["sintel", "synthia", "middlebury"])
def test_coc_agrees_with_the_generators_layers(shared, scene):
    reference = np.load(shared / "reference" / "render" / f"{scene}.npz")
    focus = float(reference["focus_distance_mm"])
    pixels_per_mm = 160 / optics.SENSOR_WIDTH_MM
    alpha = optics.alpha_from_camera(
        float(reference["focal_length_mm"]), focus, float(reference["f_number"]), pixels_per_mm
    )
    depth = reference["depth_mm"].astype(np.float64)
    coc_px = np.abs(optics.signed_coc_px(depth, Lens(focus, alpha)))
    # The generator keeps one decimal of the COC.
    layers = reference["layer_coc_px"][reference["layer_index"]]
    assert np.abs(coc_px - layers).max() < 0.0501


def draws(sampler, near, far, count=400):
    lenses = [optics.LENS_SAMPLERS[sampler]([7, i], near, far) for i in range(count)]
    return np.array([[float(v) for v in lens] for lens in lenses])


@pytest.mark.parametrize("near, far", [(1.0, 2.0), (0.5, 60.0)])
def test_paper_sampler(near, far):
    focus, alpha, sharp = draws("paper", near, far).T
    assert (sharp == 0).all()
    assert (focus >= near).all() and (focus <= far).all()
    assert abs(focus.mean() - (near + far) / 2) < 0.1 * (far - near)  # uniform
    largest = alpha * np.maximum((far - focus) / far, (focus - near) / near)
    # alpha ~ U[0, alpha_up], so the largest COC is uniform on [0, c_max] whatever S1 is.
    assert largest.max() <= optics.C_MAX_PX * (1 + 1e-5)
    deciles = np.quantile(largest / optics.C_MAX_PX, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(deciles, np.linspace(0.1, 0.9, 9), atol=0.08)


def test_generator_sampler():
    near, far = 1.0, 3.0
    focus, alpha, sharp = draws("generator", near, far).T
    assert (sharp == 1).all()
    assert 0.68 < (focus < 2.0).mean() < 0.82  # three of four in the near half
    largest = alpha * np.maximum((far - focus) / far, (focus - near) / near)
    np.testing.assert_allclose(largest, 29.0, rtol=1e-4)


def test_samplers_are_pure_functions_of_their_seed():
    first, again = draws("paper", 1.0, 2.0, 5), draws("paper", 1.0, 2.0, 5)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, 0])) == 5


def test_flat_scene_has_no_blur_and_no_nan():
    lens = optics.sample_lens_paper([1, 2], 2.0, 2.0)
    assert float(lens.alpha_px) == 0.0
    assert float(optics.defocus_map(tf.constant([2.0]), lens)[0]) == 0.0


def test_sampler_inside_dataset_map():
    dataset = tf.data.Dataset.range(3).map(
        lambda i: optics.sample_lens_paper(tf.stack([1, tf.cast(i, tf.int32)]), 1.0, 2.0)[:2]
    )
    for i, (focus, alpha) in enumerate(dataset):
        eager = optics.sample_lens_paper([1, i], 1.0, 2.0)
        assert float(focus) == pytest.approx(float(eager.focus_distance), rel=1e-6)
        assert float(alpha) == pytest.approx(float(eager.alpha_px), rel=1e-6)


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

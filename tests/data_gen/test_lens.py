"""The thin lens and both samplers."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.rendering.lens import (
    LENS_SAMPLERS,
    Lens,
    defocus_map,
    sample_lens_paper,
    signed_coc_px,
)


def test_thin_lens_by_hand():
    lens = Lens(focus_distance=2.0, alpha_px=10.0)
    # x = 1: 10*(1 - 2)/1 = -10 (nearer than focus); x = 2: 0; x = 4: 10*2/4 = 5.
    depth = tf.constant([1.0, 2.0, 4.0])
    np.testing.assert_allclose(signed_coc_px(depth, lens), [-10, 0, 5])
    np.testing.assert_allclose(defocus_map(depth, lens), [10 / 28, 0, 5 / 28])
    # The generator's lens: a COC of 1 px is sharp, so 10 px blur like 9.
    sharp = lens._replace(sharp_coc_px=1.0)
    np.testing.assert_allclose(defocus_map(depth, sharp), [9 / 28, 0, 4 / 28], rtol=1e-6)


@pytest.mark.parametrize("scene", ["sintel", "synthia", "middlebury"])
def test_coc_agrees_with_the_generators_layers(shared, scene):
    reference = np.load(shared / "reference" / "render" / f"{scene}.npz")
    focus = float(reference["focus_distance_mm"])
    pixels_per_mm = 160 / optics.SENSOR_WIDTH_MM
    alpha = optics.alpha_from_camera(
        float(reference["focal_length_mm"]), focus, float(reference["f_number"]), pixels_per_mm
    )
    depth = reference["depth_mm"].astype(np.float64)
    coc_px = np.abs(signed_coc_px(depth, Lens(focus, alpha)))
    # The generator keeps one decimal of the COC.
    layers = reference["layer_coc_px"][reference["layer_index"]]
    assert np.abs(coc_px - layers).max() < 0.0501


def draws(sampler, near, far, count=400):
    lenses = [LENS_SAMPLERS[sampler]([7, i], near, far) for i in range(count)]
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
    lens = sample_lens_paper([1, 2], 2.0, 2.0)
    assert float(lens.alpha_px) == 0.0
    assert float(defocus_map(tf.constant([2.0]), lens)[0]) == 0.0


def test_sampler_inside_dataset_map():
    dataset = tf.data.Dataset.range(3).map(
        lambda i: sample_lens_paper(tf.stack([1, tf.cast(i, tf.int32)]), 1.0, 2.0)[:2]
    )
    for i, (focus, alpha) in enumerate(dataset):
        eager = sample_lens_paper([1, i], 1.0, 2.0)
        assert float(focus) == pytest.approx(float(eager.focus_distance), rel=1e-6)
        assert float(alpha) == pytest.approx(float(eager.alpha_px), rel=1e-6)

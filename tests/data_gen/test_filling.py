"""Filling behind near objects: against the authors' generator, and by properties."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.rendering import compositing, filling
from data_gen.rendering.lens import Lens
from data_gen.rendering.options import Realism

FILL = Realism(fill_background=True)


@pytest.mark.parametrize("name", ["sintel", "synthia", "middlebury"])
def test_agrees_with_the_authors_generator_to_40_db(shared, name):
    reference = np.load(shared / "reference" / "render" / f"{name}.npz")
    sigma_px = optics.coc_to_sigma(np.maximum(reference["layer_coc_px"] - 1, 0))
    rendered = compositing.blend_layers(
        reference["image"].astype(np.float32) / 255,
        reference["layer_index"].astype(np.int32),
        sigma_px.astype(np.float32),
        realism=FILL,
    )
    error = np.mean(np.square(rendered - reference["blurred_with_inpainting"]))
    assert 10 * np.log10(1 / error) > 40


def test_pull_push_keeps_what_is_known_and_continues_it_smoothly():
    ramp = np.tile(np.linspace(0, 1, 90, dtype=np.float32), (70, 1))
    known = np.ones((70, 90), bool)
    known[20:50, 30:60] = False
    filled = filling.pull_push(tf.where(known, ramp, np.nan)[None], known).numpy()[0]
    np.testing.assert_array_equal(filled[known], ramp[known])
    np.testing.assert_allclose(filled[~known], ramp[~known], atol=0.12)
    # Nothing known far and wide: the mean of what is.
    known = np.zeros((300, 300), bool)
    known[0, 0] = True
    filled = filling.pull_push(tf.fill([1, 300, 300], 0.25), known)
    np.testing.assert_allclose(filled, 0.25, rtol=1e-5)


def near_card(sigma_px=4.0):
    """A white card in front of black ground in focus; depth behind the card is not seen."""
    index = np.zeros((100, 100), np.int32)
    index[30:70, 30:70] = 1
    image = np.repeat((index == 1)[..., None], 3, -1).astype(np.float32)
    return image, index, np.array([0.0, sigma_px], np.float32)


def test_the_background_shows_through_a_blurred_rim():
    image, index, sigma_px = near_card()
    plain = compositing.blend_layers(image, index, sigma_px).numpy()
    filled = compositing.blend_layers(image, index, sigma_px, realism=FILL).numpy()
    # Inside the card's rim the paper's blend shows the card alone; outside, a rim that bleeds.
    assert plain[50, 30, 0] == pytest.approx(1) and plain[50, 29, 0] < 0.5
    # Filled, the edge is the blurred step itself: no jump from 1 to less than a half.
    np.testing.assert_allclose(filled[50, 29, 0] + filled[50, 30, 0], 1, atol=0.01)
    assert (
        np.abs(np.diff(filled[50, 10:50, 0])).max() < 0.11
    )  # its steepest step is 1/(4 sqrt(2pi))


def test_what_lies_behind_the_focus_plane_is_blended_as_before():
    rng = np.random.default_rng(0)
    image = rng.random((80, 80, 3)).astype(np.float32)
    index = rng.integers(0, 3, (80, 80)).astype(np.int32)
    sigma_px = np.array([6.0, 3.0, 0.0], np.float32)  # the nearest layer is in focus
    plain = compositing.blend_layers(image, index, sigma_px)
    filled = compositing.blend_layers(image, index, sigma_px, realism=FILL)
    np.testing.assert_allclose(filled, plain, atol=1e-6)


def test_nothing_behind_the_nearest_layers_is_blended_as_before():
    rng = np.random.default_rng(0)
    image = rng.random((50, 50, 3)).astype(np.float32)
    index = np.zeros((50, 50), np.int32)
    plain = compositing.blend_layers(image, index, [3.0], first_near=0)
    filled = compositing.blend_layers(image, index, [3.0], realism=FILL, first_near=0)
    np.testing.assert_allclose(filled, plain, atol=1e-5)


@pytest.mark.parametrize("aperture", ["gaussian", "disc"])
def test_a_crop_is_close_to_the_same_part_of_the_whole(aperture):
    image, index, sigma_px = near_card()
    realism = Realism(aperture, fill_background=True)
    whole = compositing.blend_layers(image, index, sigma_px, realism=realism).numpy()
    part = compositing.blend_layers(image, index, sigma_px, (20, 25, 40, 60), realism).numpy()
    # Holes are continued from what is near; a crop sees less of what is far.
    np.testing.assert_allclose(part, whole[20:60, 25:85], atol=0.02)


def test_any_size_and_inside_dataset_map():
    for height, width in ((1, 1), (1, 50), (37, 3)):
        image = np.full((height, width, 3), 0.5, np.float32)
        depth = np.linspace(1, 2, height * width, dtype=np.float32).reshape(height, width)
        data = tf.data.Dataset.from_tensors((image, depth)).map(
            lambda i, d: compositing.render(i, d, Lens(1.8, 20.0), realism=FILL)
        )
        rendered, _ = next(iter(data))
        # A mask below the floor of 1e-4 counts in the colour and not in its weight.
        np.testing.assert_allclose(rendered, 0.5, atol=1e-3)


def test_near_layers_of_nearly_equal_blur_are_one():
    # Far layers, the focus plane at index 4, then near ones in steps of 0.02 px of sigma.
    far, near = np.float32([3, 2, 1, 0.02]), np.arange(1, 351, dtype=np.float32) / 50
    sigma_px = np.concatenate([far, near])
    chosen = filling.representatives(sigma_px, 4).numpy()
    np.testing.assert_array_equal(chosen[:4], range(4))
    assert (np.diff(chosen) >= 0).all() and chosen.max() < len(sigma_px)
    off = np.abs(sigma_px[chosen] - sigma_px)
    # A step is rounded to whole layers.
    assert (off <= np.maximum(0.06, 0.05 * sigma_px) + 0.02).all()
    assert len(set(chosen[4:])) < 40
    for first_near in (-9, 0, 354, 999):  # all near, none near
        all_near = first_near <= 0
        chosen = filling.representatives(near if all_near else far, first_near).numpy()
        assert len(chosen) == (350 if all_near else 4)
        assert (len(set(chosen)) < 40) if all_near else (chosen == range(4)).all()

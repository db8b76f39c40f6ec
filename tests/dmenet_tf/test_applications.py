"""What the applications do exactly, on pictures small enough to know the answer."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_gen import optics
from data_gen.rendering import compositing
from data_gen.rendering.lens import Lens, defocus_map, max_alpha_px, signed_coc_px
from data_gen.scenes.composition import make_scene
from dmenet_tf.applications import deblur, depth, layered_blur, magnify, planes, refocus, segment


def random_image(height=40, width=48, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def two_objects(side=64):
    """A bright sharp square (sigma 0) before a dark ground of 2 px: (image, sigma_px, square)."""
    square = np.zeros((side, side), bool)
    square[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    image = random_image(side, side) * np.where(square, 1.0, 0.3)[..., None].astype(np.float32)
    return image, np.where(square, 0.0, 2.0).astype(np.float32), square


def psnr(image, truth):
    return -10 * np.log10(np.mean((image - truth) ** 2))


# --- magnify and the layers under it ------------------------------------------------------------


def test_a_factor_of_one_changes_nothing():
    image, sigma_px, _ = two_objects()
    np.testing.assert_array_equal(magnify.magnify(image, sigma_px, 1.0), image)


@pytest.mark.parametrize("factor, sigma", [(2.0, 1.3), (3.0, 2.0)])
def test_uniform_blur_is_magnified_by_a_plain_gaussian(factor, sigma):
    image = random_image()
    magnified = magnify.magnify(image, np.full((40, 48), sigma), factor, linear=False)
    # sigma_out^2 = (k sigma)^2 = sigma^2 + extra^2
    extra = np.sqrt(factor**2 - 1) * sigma
    plain = gaussian_filter(image, (extra, extra, 0), mode="reflect", truncate=5)
    np.testing.assert_allclose(magnified, plain, atol=5e-4)


def test_blur_is_magnified_in_linear_light():
    image = random_image()
    sigma_px = np.full((40, 48), 1.5)
    bright = magnify.magnify(image, sigma_px, 2.0)
    linear = magnify.magnify(image**2.2, sigma_px, 2.0, linear=False)
    np.testing.assert_allclose(bright**2.2, linear, atol=1e-4)


def test_a_sharp_subject_keeps_its_pixels_and_lends_no_colour():
    image, sigma_px, square = two_objects()
    image[~square] = (0.1, 0.2, 0.3)
    image[square] *= 0.5
    image[square] += 0.5
    magnified = magnify.magnify(image, sigma_px, 3.0, linear=False)
    np.testing.assert_allclose(magnified[square], image[square], atol=1e-6)
    # The ground has one colour. A plain Gaussian would mix the subject's into it.
    np.testing.assert_allclose(magnified[~square], image[~square], atol=1e-5)


def test_a_sharp_front_agrees_with_the_renderer_of_the_training_data():
    image, sigma_px, square = two_objects()
    blurred = layered_blur.blur_by_depth(image, sigma_px, lambda signed: signed)
    rendered = compositing.blend_layers(image, np.int32(square), np.float32([2.0, 0.0]))
    np.testing.assert_allclose(blurred, rendered, atol=5e-4)


def test_a_blurred_front_covers_half_at_its_rim_and_the_ground_goes_on_behind_it():
    front = np.zeros((64, 64), bool)
    front[:, :32] = True
    image = np.where(front, 1.0, 0.0)[..., None].repeat(3, axis=2).astype(np.float32)
    signed_px = np.where(front, -2.0, 0.0)
    blurred = layered_blur.blur_by_depth(image, signed_px, np.abs)[32, :, 0]
    # A Gaussian edge of sigma 2 all through, with no step where the ground is first seen.
    expected = gaussian_filter(image[32, :, 0], 2.0, mode="reflect", truncate=5)
    np.testing.assert_allclose(blurred[8:56], expected[8:56], atol=0.01)


def test_a_slanted_plane_of_one_colour_keeps_it():
    image = np.full((40, 90, 3), 0.4, np.float32)
    sigma_px = np.tile(np.linspace(0.0, 6.0, 90, dtype=np.float32), (40, 1))
    for near in (False, True):
        magnified = magnify.magnify(image, sigma_px, 2.5, near, linear=False)
        np.testing.assert_allclose(magnified, image, atol=1e-4)


def test_tiles_leave_no_seams(monkeypatch):
    image, depth_map = make_scene(3, 1, 150, 170)
    image = image.astype(np.float32) / 255
    sigma_px = optics.defocus_to_sigma(defocus_map(depth_map, Lens(1.0, 12.0)))
    sigma_px = np.minimum(np.asarray(sigma_px), 3.0)
    whole = magnify.magnify(image, sigma_px, 2.0), deblur.deblur(image, sigma_px, 6)
    monkeypatch.setattr(planes, "TILE", 64)
    tiled = magnify.magnify(image, sigma_px, 2.0), deblur.deblur(image, sigma_px, 6)
    assert sigma_px.max() > 2
    np.testing.assert_allclose(tiled[0], whole[0], atol=0.01)
    np.testing.assert_allclose(tiled[1], whole[1], atol=0.02)
    assert np.abs(tiled[1] - whole[1]).mean() < 1e-4


@pytest.mark.parametrize("height, width", [(1, 1), (1, 30), (7, 3)])
def test_tiny_photos(height, width):
    image, sigma_px = random_image(height, width), np.full((height, width), 4.0, np.float32)
    results = (
        magnify.magnify(image, sigma_px, 3.0),
        refocus.refocus(image, sigma_px, 2.0, 1.5),
        deblur.deblur(image, sigma_px),
        planes.follow_edges(image, sigma_px)[..., None].repeat(3, axis=2) / 4,
    )
    for result in results:
        assert result.shape == image.shape and np.isfinite(result).all()
    assert segment.sharp_mask(image, sigma_px, grabcut=True).shape == (height, width)


@pytest.mark.parametrize(
    "sigma_px, message",
    [
        (np.zeros((40, 47)), "size of its photo"),
        (np.full((40, 48), np.nan), "not finite"),
        (np.full((40, 48), -1.0), "received -1"),
    ],
)
def test_a_map_that_is_none_is_refused(sigma_px, message):
    for application in (magnify.magnify, refocus.refocus, deblur.deblur, segment.sharp_mask):
        with pytest.raises(ValueError, match=message):
            application(random_image(), sigma_px)


def test_options_out_of_range_are_refused():
    image, sigma_px = random_image(), np.ones((40, 48), np.float32)
    for call, message in (
        (lambda: magnify.magnify(image, sigma_px, 0.5), "received 0.5"),
        (lambda: refocus.refocus(image, sigma_px, aperture=-1), "received 0, -1"),
        (lambda: deblur.deblur(image, sigma_px, 0), "received 0"),
        (lambda: segment.sharp_mask(image, sigma_px, "median"), "received 'median'"),
        (lambda: segment.sharp_mask(image, sigma_px, "hysteresis", 1.0, 2.0), "received 2 and 1"),
        (lambda: refocus.sigma_at(sigma_px, 48, 0), "received 48,0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_map_follows_the_photos_edges():
    # The map's border lies 6 px beside the photo's, with noise on both sides.
    image = np.full((200, 400, 3), 0.2, np.float32)
    image[:, 200:] = 0.8
    rough = np.full((200, 400), 0.5, np.float32)
    rough[:, 206:] = 3.0
    rough += np.random.default_rng(0).normal(0, 0.3, rough.shape).clip(-0.5).astype(np.float32)
    even = planes.follow_edges(image, rough)
    truth = np.where(np.arange(400) < 200, 0.5, 3.0)
    assert np.abs(even - truth).mean() < 0.5 * np.abs(rough - truth).mean()
    assert even[:, :180].std() < 0.5 * rough[:, :180].std()


# --- refocus ------------------------------------------------------------------------------------


def test_the_same_focus_and_aperture_change_nothing():
    image, sigma_px, _ = two_objects()
    np.testing.assert_allclose(refocus.refocus(image, sigma_px), image, atol=1e-6)


def test_an_object_out_of_the_new_focus_is_blurred_by_its_distance_in_blur():
    image, sigma_px, _ = two_objects(96)
    result = refocus.refocus(image, sigma_px, 2.0, 1.5, sharpen=0.0, linear=False)
    # c_out = 1.5 * (0 - 2): 3 px; in the square's middle nothing else contributes.
    plain = gaussian_filter(image, (3.0, 3.0, 0), mode="reflect", truncate=5)
    np.testing.assert_allclose(result[40:56, 40:56], plain[40:56, 40:56], atol=2e-3)
    # The ground comes into focus: unchanged where the square's blur does not reach.
    np.testing.assert_allclose(result[:8], image[:8], atol=1e-4)


def test_what_comes_into_focus_is_sharpened():
    truth, _ = make_scene(5, 2, 96, 96)
    truth = truth.astype(np.float32) / 255
    image = gaussian_filter(truth, (2.0, 2.0, 0), mode="reflect")
    result = refocus.refocus(image, np.full((96, 96), 2.0, np.float32), 2.0, linear=False)
    assert psnr(result, truth) > psnr(image, truth) + 0.6


def test_the_blur_at_a_point_is_that_around_column_and_row():
    sigma_px = np.zeros((30, 60), np.float32)
    sigma_px[:, 30:] = 3.0
    sigma_px[10, 50] = 7.0
    assert refocus.sigma_at(sigma_px, 50, 10) == 3.0
    assert refocus.sigma_at(sigma_px, 10, 29) == 0.0


# --- depth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [False, True])
def test_depth_is_the_thin_lens_solved_for_distance(near):
    camera = depth.Camera(50.0, 2.0, 2.0, 36.0)
    distance_m = np.linspace(1.0, 1.99, 50) if near else np.linspace(2.0, 40.0, 50)
    alpha_px = optics.alpha_from_camera(50.0, 2000.0, 2.0, 50 / 36.0)
    signed = signed_coc_px(distance_m, Lens(2.0, alpha_px))
    sigma_px = optics.coc_to_sigma(np.abs(signed))[None]
    np.testing.assert_allclose(depth.metric_depth(sigma_px, camera, near)[0], distance_m, rtol=1e-5)


def test_more_blur_than_infinity_has_lies_at_infinity():
    assert np.isinf(depth.metric_depth(np.full((1, 50), 7.0), depth.Camera(50.0, 2.0, 2.0))).all()


def test_relative_depth_is_monotone_and_turns_with_the_side():
    sigma_px = np.random.default_rng(0).uniform(0, 7, (20, 30)).astype(np.float32)
    order = np.argsort(sigma_px.ravel())
    behind, front = depth.relative_depth(sigma_px), depth.relative_depth(sigma_px, near=True)
    assert (np.diff(behind.ravel()[order]) >= 0).all() and behind.max() == 1
    assert (np.diff(front.ravel()[order]) <= 0).all() and front.min() == 0
    assert not depth.relative_depth(np.zeros((3, 3))).any()


@pytest.mark.parametrize("numbers", [(50, 2, 0.04), (0, 2, 2), (50, -1, 2), (50, 2, np.inf)])
def test_numbers_of_no_camera_are_refused(numbers):
    with pytest.raises(ValueError, match="received"):
        depth.Camera(*numbers)


# --- segment ------------------------------------------------------------------------------------

# Two sharp pixels, one between that touches them, one between that does not, and blur.
HAND_MAP = np.float32([[0.5, 0.5, 1.2, 4.0], [4.0, 4.0, 4.0, 4.0], [4.0, 4.0, 4.0, 1.2]])


@pytest.mark.parametrize(
    "rule, sharp",
    [
        ("fixed", [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),  # at most 1.2 px
        ("hysteresis", [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),  # connected to 0.75 px
        ("paper", [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),  # 0.3*4 + 0.7*0.5 = 1.55 px
        ("otsu", [[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),  # two classes: 0.5, 1.2 and 4
    ],
)
def test_a_mask_by_hand(rule, sharp):
    mask = segment.sharp_mask(np.zeros((3, 4, 3)), HAND_MAP, rule, 1.2, 0.75, clean=False)
    np.testing.assert_array_equal(mask, np.array(sharp, bool))


def test_cleaning_removes_specks_and_holes_and_keeps_the_border():
    mask = np.zeros((100, 100), bool)
    mask[:, 50:] = True
    rough = mask.copy()
    rough[20, 20], rough[60, 80] = True, False
    np.testing.assert_array_equal(segment.clean_mask(rough), mask)


def test_grabcut_brings_the_mask_to_the_colours_outline():
    rng = np.random.default_rng(0)
    truth = np.zeros((120, 160), bool)
    truth[30:90, 40:120] = True
    image = np.where(truth[..., None], (0.8, 0.3, 0.2), (0.1, 0.3, 0.4))
    image = (image + rng.normal(0, 0.04, image.shape)).clip(0, 1)
    sigma_px = np.full(truth.shape, 3.0)
    sigma_px[33:93, 43:123] = 0.3  # 3 px beside the object
    plain = segment.sharp_mask(image, sigma_px)
    refined = segment.sharp_mask(image, sigma_px, grabcut=True)
    assert np.mean(plain != truth) > 0.03
    assert np.mean(refined != truth) < 0.002


def test_a_cut_out_keeps_colours_and_softens_its_rim():
    image, _, square = two_objects()
    rgba = segment.cut_out(image, square)
    np.testing.assert_array_equal(rgba[..., :3], image)
    assert rgba[32, 32, 3] == pytest.approx(1.0) and rgba[0, 0, 3] == 0
    assert 0.5 < rgba[32, 16, 3] < 0.9  # the first column of the square


# --- deblur -------------------------------------------------------------------------------------


def test_without_blur_nothing_changes():
    image = random_image()
    np.testing.assert_array_equal(deblur.deblur(image, np.zeros((40, 48))), image)
    np.testing.assert_array_equal(deblur.deblur(image, np.ones((40, 48)), amount=0.0), image)


@pytest.mark.parametrize("scene", [1, 3])  # two with enough detail: they rise by 1.1 and 1.6 dB
def test_a_known_blur_that_varies_is_taken_back(scene):
    truth, distance = make_scene(7, scene, 160, 192)
    truth = truth.astype(np.float32) / 255
    near, far = float(distance.min()), float(distance.max())
    lens = Lens(near, float(max_alpha_px(near, far, near, 10.0)))
    image, defocus = compositing.render(truth, distance, lens)
    image = np.float32(np.rint(image.numpy() * 255) / 255)
    sigma_px = optics.defocus_to_sigma(defocus.numpy()[..., 0])
    assert sigma_px.max() > 2
    result = deblur.deblur(image, sigma_px, linear=False)
    assert psnr(result, truth) > psnr(image, truth) + 0.9
    sharp = sigma_px < deblur.FADE_PX[0]
    np.testing.assert_array_equal(result[sharp], image[sharp])


def test_outlines_and_borders_do_not_ring():
    image, sigma_px, square = two_objects()
    image[~square] = 0.3  # a ground without detail: any change is an artefact
    image[square] = 1.0
    result = deblur.deblur(image, sigma_px, linear=False)
    # Without weights, the bright outline would draw a band of 0.1 around itself.
    np.testing.assert_allclose(result, image, atol=3e-3)

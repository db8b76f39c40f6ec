"""The tiled renderer, held against the authors' generator and a slow reference."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.rendering import apertures, compositing
from data_gen.rendering.lens import Lens


def blend_slowly(image, layer_index, layer_sigma_px):
    """The blend as the paper's text has it, a whole frame for every layer, in float64."""
    radius = compositing.RADIUS
    offset = np.arange(-radius, radius + 1)

    def blur(plane, sigma_px):
        taps = np.exp(-0.5 * (offset / max(sigma_px, apertures.SIGMA_FLOOR_PX)) ** 2)
        taps /= taps.sum()
        for axis in (0, 1):
            plane = np.moveaxis(plane, axis, 0)
            padded = np.pad(plane, [(radius, radius), (0, 0)], mode="symmetric")
            plane = sum(t * padded[i : i + len(plane)] for i, t in enumerate(taps))
            plane = np.moveaxis(plane, 0, axis)
        return plane

    out, coverage = np.zeros(image.shape), np.zeros(layer_index.shape)
    for layer, sigma_px in enumerate(layer_sigma_px):
        mask = (layer_index == layer).astype(np.float64)
        blurred_mask = blur(mask, sigma_px)
        blurred_mask[blurred_mask < 1e-4] = 0
        blurred = np.stack([blur(image[..., c] * mask, sigma_px) for c in range(3)], axis=-1)
        out = out * (1 - blurred_mask)[..., None] + blurred
        coverage = coverage * (1 - blurred_mask) + blurred_mask
    return out / coverage[..., None]


def scene(height, width, layers=6, seed=0):
    """Random image, layers in random blocks, sigmas from sharp to the largest."""
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, 3)).astype(np.float32)
    coarse = rng.integers(0, layers, (height // 9 + 1, width // 7 + 1))
    index = np.kron(coarse, np.ones((9, 7), int))[:height, :width].astype(np.int32)
    return image, index, np.linspace(7, 0, layers).astype(np.float32)


@pytest.mark.parametrize("name", ["sintel", "synthia", "middlebury"])
def test_agrees_with_the_authors_generator(shared, name):
    reference = np.load(shared / "reference" / "render" / f"{name}.npz")
    sigma_px = optics.coc_to_sigma(np.maximum(reference["layer_coc_px"] - 1, 0))
    rendered = compositing.blend_layers(
        reference["image"].astype(np.float32) / 255,
        reference["layer_index"].astype(np.int32),
        sigma_px.astype(np.float32),
    )
    assert np.abs(rendered - reference["blurred"]).max() < 1e-3


@pytest.mark.parametrize("height, width", [(70, 45), (33, 64), (1, 40), (5, 1), (1, 1)])
def test_agrees_with_the_slow_reference(height, width):
    image, index, sigma_px = scene(height, width)
    rendered = compositing.blend_layers(image, index, sigma_px)
    # np.pad mirrors a plane narrower than the kernel over and over, as the renderer does.
    np.testing.assert_allclose(rendered, blend_slowly(image, index, sigma_px), atol=2e-5)


def test_crop_equals_the_same_part_of_the_whole():
    image, index, sigma_px = scene(90, 80)
    whole = compositing.blend_layers(image, index, sigma_px)
    part = compositing.blend_layers(image, index, sigma_px, (40, 11, 50, 69))
    np.testing.assert_allclose(part, whole[40:90, 11:80], atol=1e-6)


def test_one_layer_is_a_plain_gaussian_blur():
    # An edge between 0 and 1, blurred: 50% in its middle; the border repeats its edge pixel.
    image = np.zeros((64, 64, 3), np.float32)
    image[:, 32:] = 1
    rendered = compositing.blend_layers(image, np.zeros((64, 64), np.int32), [4.0]).numpy()
    assert rendered[10, 31, 0] + rendered[10, 32, 0] == pytest.approx(1.0, abs=1e-5)
    assert rendered[10, 0, 0] == pytest.approx(0.0, abs=1e-6)
    assert rendered[10, 63, 0] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(rendered[0], rendered[63], atol=1e-6)


def lens_scene(height=48, width=60):
    rng = np.random.default_rng(3)
    image = rng.random((height, width, 3)).astype(np.float32)
    depth = np.tile(np.linspace(1.0, 3.0, width, dtype=np.float32), (height, 1))
    depth[10:30, 20:40] = 1.2
    return tf.constant(image), tf.constant(depth), Lens(tf.constant(1.5), tf.constant(20.0))


def test_render_is_the_same_eagerly_and_inside_dataset_map():
    image, depth, lens = lens_scene()
    eager_image, eager_map = compositing.render(image, depth, lens)
    dataset = tf.data.Dataset.from_tensors((image, depth)).map(
        lambda i, d: compositing.render(i, d, lens), num_parallel_calls=2
    )
    mapped_image, mapped_map = next(iter(dataset))
    np.testing.assert_allclose(mapped_image, eager_image, atol=1e-6)
    np.testing.assert_allclose(mapped_map, eager_map, atol=1e-6)
    assert eager_image.shape == (48, 60, 3) and eager_map.shape == (48, 60, 1)


def test_render_crop_has_the_layers_of_the_whole():
    image, depth, lens = lens_scene()
    whole, whole_map = compositing.render(image, depth, lens)
    part, part_map = compositing.render(image, depth, lens, (5, 22, 30, 31))
    np.testing.assert_allclose(part, whole[5:35, 22:53], atol=1e-6)
    np.testing.assert_array_equal(part_map, whole_map[5:35, 22:53])


def test_what_is_in_focus_stays_and_the_rest_blurs():
    image, depth, lens = lens_scene()
    blurred, defocus = compositing.render(image, tf.fill(depth.shape, 1.5), lens)
    np.testing.assert_allclose(blurred, image, atol=1e-6)
    assert float(tf.reduce_max(defocus)) == 0.0
    blurred, defocus = compositing.render(image, tf.fill(depth.shape, 3.0), lens)
    assert float(tf.math.reduce_std(blurred)) < 0.5 * float(tf.math.reduce_std(image))
    np.testing.assert_allclose(defocus, 10 / 28, rtol=1e-6)  # 20*(3 - 1.5)/3 = 10 px

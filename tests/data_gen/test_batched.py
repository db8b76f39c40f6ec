"""Crops rendered together, beside the same ones rendered one by one."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen.rendering import batched, compositing
from data_gen.rendering.apertures import RADIUS
from data_gen.rendering.compositing import MASK_FLOOR
from data_gen.rendering.layers import LayerBounds, layer_bounds
from data_gen.rendering.lens import Lens
from data_gen.rendering.options import Realism
from data_gen.scenes.composition import make_scene

CROP = 56  # no multiple of a tile
# (scene, top and left corner): a middle, corners of the scene.
PLACES = ((0, 20, 31), (1, 0, 0), (2, 44, 64), (1, 10, 64))


@pytest.fixture(scope="module")
def scenes():
    made = [make_scene(3, i, CROP + 44, CROP + 64) for i in range(3)]
    return [(image.astype(np.float32) / 255, depth) for image, depth in made]


def lens_of(scene, number):
    _, depth = scene
    near, far = depth.min(), depth.max()
    focus = near + (far - near) * (0.2 + 0.3 * number)
    lens = Lens(tf.constant(focus, tf.float32), tf.constant(20.0 + 9 * number), 1.0)
    return lens, layer_bounds(lens, near, far)


def together(scenes, realism, disc=None):
    side = batched.side_needed(CROP)
    cut, lenses, bounds = [], [], []
    for number, (i, top, left) in enumerate(PLACES):
        where = (top - RADIUS, left - RADIUS, side, side)
        cut.append([compositing.cut_mirrored(plane, *where) for plane in scenes[i]])
        lens, layers = lens_of(scenes[i], number)
        lenses.append(lens)
        bounds.append(layers)
    focus, alpha, sharp = zip(*lenses, strict=True)
    lens = Lens(tf.stack(focus), tf.stack(alpha), sharp[0])
    layers = LayerBounds(*map(tf.stack, zip(*bounds, strict=True)))
    images, depths = map(tf.stack, zip(*cut, strict=True))
    return batched.render(images, depths, lens, layers, CROP, realism, disc)


def alone(scenes, number, realism):
    i, top, left = PLACES[number]
    lens, layers = lens_of(scenes[i], number)
    return compositing.render(*scenes[i], lens, (top, left, CROP, CROP), realism, layers)


@pytest.mark.parametrize(
    "realism",
    [Realism(), Realism(linear_light=True), Realism(aperture="disc", linear_light=True)],
    ids=["gaussian", "gaussian in light", "disc in light"],
)
def test_each_crop_is_rendered_as_alone(scenes, realism):
    images, maps = together(scenes, realism)
    for number in range(len(PLACES)):
        image, defocus = alone(scenes, number, realism)
        np.testing.assert_allclose(images[number], image, atol=1e-5)
        np.testing.assert_array_equal(maps[number], defocus)


def test_some_crops_may_have_a_disc(scenes):
    disc = tf.constant([True, False, False, True])
    images, maps = together(scenes, Realism(), disc)
    kinds = {True: Realism(aperture="disc", linear_light=True), False: Realism()}
    for number, kind in enumerate(disc.numpy()):
        image, defocus = alone(scenes, number, kinds[bool(kind)])
        # A Gaussian by waves instead of bands: a mask that rounding moves across its floor counts
        # on one side alone.
        np.testing.assert_allclose(images[number], image, atol=2 * MASK_FLOOR)
        np.testing.assert_array_equal(maps[number], defocus)


def test_it_compiles(scenes):
    """With XLA, as a step with the data on its device does."""
    compiled = tf.function(batched.render.python_function, jit_compile=True, autograph=False)
    side = batched.side_needed(CROP)
    images, depths = (
        tf.stack([compositing.cut_mirrored(plane, 0, 0, side, side)] * 2) for plane in scenes[0]
    )
    lens, layers = lens_of(scenes[0], 1)
    lens = lens._replace(focus_distance=[lens.focus_distance] * 2, alpha_px=[lens.alpha_px] * 2)
    layers = LayerBounds(*(tf.stack([value] * 2) for value in layers))
    lens = lens._replace(**{k: tf.stack(getattr(lens, k)) for k in ("focus_distance", "alpha_px")})
    plain = batched.render(images, depths, lens, layers, CROP)
    for ours, theirs in zip(compiled(images, depths, lens, layers, CROP), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("realism", [Realism(aperture="polygon"), Realism(fill_background=True)])
def test_other_realism_is_refused(scenes, realism):
    with pytest.raises(ValueError, match="apertures gaussian and disc, without fill_background"):
        together(scenes, realism)

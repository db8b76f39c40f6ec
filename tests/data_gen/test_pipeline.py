"""Examples out of scenes: pure functions of (seed, index), with labels that fit their image."""

import numpy as np
import pytest
import tensorflow as tf

from data_gen import pipeline
from data_gen.pipeline import ProceduralScenes, fitted
from data_gen.rendering import compositing
from data_gen.rendering.layers import MAX_LAYERS, layer_bounds
from data_gen.rendering.lens import LENS_SAMPLERS, Lens, defocus_map
from data_gen.rendering.options import Realism

KEY = tf.constant([5, 0])


@pytest.fixture(scope="module")
def scenes():
    return fitted(ProceduralScenes(0, 7, 80, 90), crop=64, cache=7)


def test_an_example_is_a_pure_function_of_seed_and_index(scenes):
    first = pipeline.example(KEY, 3, scenes, 64)
    pipeline.example(KEY, 4, scenes, 64)
    again = pipeline.example(KEY, 3, scenes, 64)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    other_seed = pipeline.example(tf.constant([6, 0]), 3, scenes, 64)
    assert not np.array_equal(first["image"], other_seed["image"])


def test_any_start_gives_the_same_examples_as_the_whole(scenes):
    whole = list(pipeline.examples(5, range(9), scenes, 64))
    part = list(pipeline.examples(5, range(6, 9), scenes, 64))
    for left, right in zip(whole[6:], part, strict=True):
        np.testing.assert_array_equal(left["image"], right["image"])
        np.testing.assert_array_equal(left["defocus"], right["defocus"])
    # Eagerly and inside Dataset.map.
    eager = pipeline.example(KEY, 8, scenes, 64)
    np.testing.assert_allclose(part[-1]["image"], eager["image"], atol=1e-6)


def test_examples_rendered_at_the_same_time_have_the_bits_of_those_rendered_alone(scenes):
    numbers = tf.data.Dataset.range(8)

    def images(calls):
        drawn = numbers.map(
            lambda i: pipeline.example(KEY, i, scenes, 64), num_parallel_calls=calls
        )
        return [example["image"].numpy() for example in drawn]

    for alone, together in zip(images(None), images(8), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_shapes_ranges_and_epochs(scenes):
    drawn = list(pipeline.examples(5, range(14), scenes, 64))
    for example in drawn:
        assert example["image"].shape == (64, 64, 3) and example["defocus"].shape == (64, 64, 1)
        for name in ("image", "defocus"):
            assert np.min(example[name]) >= 0 and np.max(example[name]) <= 1 + 1e-6
        assert example["near"] <= example["focus_distance"] <= example["far"]
        assert 1 <= example["layers"] <= MAX_LAYERS
    order = [int(example["scene"]) for example in drawn]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
    assert order[:7] != order[7:]


class Ramp:
    """One scene: depth rises from left to right; a fine pattern over it all."""

    name = staticmethod(lambda index: "ramp")

    def __len__(self):
        return 1

    def read(self, index):
        rng = np.random.default_rng(0)
        depth = np.tile(np.linspace(1, 4, 128, dtype=np.float32), (96, 1))
        return rng.integers(0, 256, (96, 128, 3), np.uint8), depth


def test_the_image_is_blurred_where_its_map_says_so():
    agreement = []
    for index in range(12):
        example = pipeline.example(KEY, index, Ramp(), 64)
        detail = np.abs(np.diff(example["image"].numpy().mean(-1), axis=1)).ravel()
        defocus = example["defocus"].numpy()[:, 1:, 0].ravel()
        if defocus.std() > 0.05:
            # Turned with its image: a map turned otherwise would not fit it.
            agreement.append(np.corrcoef(np.sqrt(detail), defocus)[0, 1])
    assert len(agreement) > 5 and max(agreement) < -0.4


def test_whole_scene_has_the_label_of_its_lens():
    example = pipeline.example(KEY, 0, Ramp(), 0)
    assert example["image"].shape == (96, 128, 3)
    lens = Lens(example["focus_distance"], example["alpha_px"])
    expected = defocus_map(tf.constant(Ramp().read(0)[1]), lens)
    np.testing.assert_allclose(example["defocus"][..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("sampler", LENS_SAMPLERS)
def test_both_samplers(sampler, scenes):
    largest = [
        float(tf.reduce_max(pipeline.example(KEY, i, scenes, 0, sampler)["defocus"]))
        for i in range(6)
    ]
    if sampler == "generator":
        np.testing.assert_allclose(largest, 1.0, atol=1e-4)
    else:
        assert len({round(value, 3) for value in largest}) > 4


def test_realism_changes_the_picture_alone_and_stays_a_function_of_seed_and_index(scenes):
    realism = Realism("disc", linear_light=True, fill_background=True, shot_noise=0.01)
    plain = pipeline.example(KEY, 3, scenes, 64)
    real = pipeline.example(KEY, 3, scenes, 64, realism=realism)
    again = pipeline.example(KEY, 3, scenes, 64, realism=realism)
    np.testing.assert_array_equal(real["image"], again["image"])
    np.testing.assert_array_equal(real["defocus"], plain["defocus"])
    assert 1e-3 < np.abs(real["image"] - plain["image"]).mean() < 0.2


def test_an_example_has_the_pixels_it_always_had():
    """Against numbers stored from an earlier version: a change of them changes every dataset."""
    example = pipeline.example(KEY, 3, Ramp(), 64)
    green = [
        [0.467238, 0.645769, 0.504444, 0.226824],
        [0.51922, 0.456438, 0.560406, 0.160561],
        [0.604326, 0.589689, 0.448556, 0.67288],
        [0.496218, 0.28572, 0.71013, 0.34757],
    ]
    # A blurred pixel is a sum of 2 * 29 rounded products, twice (colour and coverage): 116 * 2^-24
    # at most per layer, and the blend weighs the layers by numbers whose sum is 1.
    np.testing.assert_allclose(example["image"][::21, ::21, 1], green, atol=2e-5)
    row = [0.194639, 0.159586, 0.112691, 0.046736]
    np.testing.assert_allclose(example["defocus"][::21, ::21, 0], [row] * 4, atol=2e-6)
    assert int(example["layers"]) == 201
    np.testing.assert_allclose(example["focus_distance"], 2.180032, rtol=1e-6)
    np.testing.assert_allclose(example["alpha_px"], 12.242509, rtol=1e-6)


def test_bounds_that_are_passed_on_change_no_bit():
    image, depth = Ramp().read(0)
    image, lens = tf.constant(image, tf.float32) / 255.0, Lens(tf.constant(1.7), tf.constant(9.0))
    layers = layer_bounds(lens, depth.min(), depth.max())
    for crop in (None, (7, 11, 40, 40)):
        own = compositing.render(image, depth, lens, crop)
        passed = compositing.render(image, depth, lens, crop, layers=layers)
        for left, right in zip(own, passed, strict=True):
            np.testing.assert_array_equal(left, right)

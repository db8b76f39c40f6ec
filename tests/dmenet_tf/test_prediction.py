"""Maps of any size: padding, tiles against the whole, reduced photos, units."""

import copy
import functools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_gen.optics import ENCODINGS
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.prediction import local as inference
from dmenet_tf.prediction import tiling
from dmenet_tf.prediction.local import Predictor, predict_defocus
from dmenet_tf.prediction.predictor import ModelChanged
from dmenet_tf.prediction.predictor import Predictor as AnyPredictor
from dmenet_tf.weights.load import TrainedModel
from tests.support.lively import lively
from tests.support.pictures import photo
from tests.support.rounding import tolerance

RNG = np.random.default_rng(0)
WIDTH = 0.03


@pytest.fixture(scope="module")
def model():
    return lively(build_blur_estimation(WIDTH))


@pytest.fixture(scope="module")
def rounding(model):
    """What maps of the same network may differ by, in `defocus`."""
    return tolerance(model, photo(96, 112), WIDTH)


@functools.cache
def traced(model):
    return Predictor(TrainedModel(model, "paper", "memory", "0" * 12))


def predictor(model, encoding="paper", tile="auto", recommended_side=None):
    """A predictor of these options; the graph, which is the same for all, is traced once."""
    backend = copy.copy(traced(model).backend)
    backend.metadata = replace(
        backend.metadata, encoding=encoding, recommended_side=recommended_side
    )
    return AnyPredictor(backend, tile=tile)


def test_a_map_is_the_same_before_and_after_a_graph_is_made(model, monkeypatch):
    monkeypatch.setattr(inference, "GRAPH_AFTER", 2)
    predictor, image = Predictor(TrainedModel(model, "paper", "memory", "0" * 12)), photo(40, 56)
    graph = predictor.backend._graph
    maps = []
    for expected in (0, 0, 1, 1):  # graphs that were made
        maps.append(predictor.defocus(image))
        assert graph.experimental_get_tracing_count() == expected
    for later in maps[1:]:
        np.testing.assert_array_equal(later, maps[0])


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (33, 16), (50, 70)])
def test_any_size_is_padded_and_cropped_back(model, rounding, size):
    image = photo(*size)
    whole = predictor(model).defocus(image)
    assert whole.shape == size and whole.dtype == np.float32
    height, width = (-side % 16 for side in size)
    padded = np.pad(image, ((0, height), (0, width), (0, 0)), mode="symmetric")
    expected = model(padded[None] / np.float32(255), training=False)["defocus"][0, ..., 0]
    cropped = np.asarray(expected)[: size[0], : size[1]]
    np.testing.assert_allclose(whole, cropped, rtol=0, atol=rounding)
    batch = predict_defocus(model, image[None] / np.float32(255))
    np.testing.assert_allclose(batch[0, ..., 0], whole, rtol=0, atol=rounding)


def test_types_of_images_agree_and_wrong_ones_are_refused(model, rounding):
    image, predict = photo(32, 48), predictor(model).defocus
    expected = predict(image)
    for same in (image.astype(np.uint16) * 257, image / np.float32(255), image / 255.0):
        np.testing.assert_allclose(predict(same), expected, rtol=0, atol=rounding)
    for wrong, message in (
        (image[..., 0], r"RGB, \[H, W, 3\]; received \[32, 48\]"),
        (np.zeros((0, 5, 3), np.uint8), r"received \[0, 5, 3\]"),
        (image.astype(np.int32), "uint8, uint16 or float; received int32"),
        (image.astype(np.float32), r"\[0, 1\]; received values from"),
        (np.full((4, 4, 3), np.nan), r"\[0, 1\]; received values from nan"),
    ):
        with pytest.raises(ValueError, match=message):
            predict(wrong)


def test_sigma_follows_the_encoding(model):
    image = photo(32, 32)
    label = predictor(model).defocus(image)
    assert label.max() - label.min() > 0.05
    np.testing.assert_allclose(predictor(model).sigma_px(image), 7 * label, rtol=1e-6)
    released = predictor(model, "released")
    np.testing.assert_array_equal(released.defocus(image), label)
    expected = np.maximum(0, (15 * label - 1) / 2)
    np.testing.assert_allclose(released.sigma_px(image), expected, atol=1e-5)


# --- tiles -----------------------------------------------------------------------------------


def test_the_receptive_radius_is_that_of_the_network():
    """No more and no less: the reach of a gradient through a network where none can cancel."""
    model = build_blur_estimation(WIDTH)
    for variable in model.weights:  # all paths positive, so that none is cut or cancelled
        kind = variable.name.split("/")[-1].split(":")[0]
        if kind == "kernel":
            # Neither the sum of all paths nor the single one to the rim leaves float32's range.
            variable.assign(np.full(variable.shape, 1 / (5 * variable.shape[2])))
        elif kind == "bias":
            variable.assign(np.full(variable.shape, 0.1))
    logits = keras.Model(model.input, model.get_layer("final_conv3").output)
    side, cell = 448, slice(208, 224)  # 16 aligned pixels in the middle
    reached = np.zeros(side, bool)
    ramp = np.linspace(0.6, 1.0, side, dtype=np.float32)
    for values in (ramp, ramp[::-1]):  # pooling passes a gradient on to the brightest pixel only
        image = tf.constant(np.broadcast_to(values[None, :, None, None], (1, side, 48, 3)).copy())
        with tf.GradientTape() as tape:
            tape.watch(image)
            output = tf.reduce_sum(logits(image)[:, cell])
        gradient = np.abs(tape.gradient(output, image).numpy()).sum(axis=(0, 2, 3))
        reached |= gradient > 0
    rows = np.flatnonzero(reached)
    radius = tiling.receptive_radius_px()
    assert (rows[0], rows[-1]) == (cell.start - radius, cell.stop - 1 + radius)


def test_tiles_cover_a_photo_once_and_lie_on_the_grid():
    for length, side in ((16, 16), (1024, 0), (1024, 256), (4000, 1664), (1040, 1024)):
        parts = list(tiling.tiles(length, side))
        kept = [pixel for part in parts for pixel in range(part.kept.start, part.kept.stop)]
        assert kept == list(range(length))
        for part in parts:
            assert part.start % 16 == 0 and part.stop % 16 == 0
            assert side == 0 or part.kept.stop - part.kept.start <= side
            assert part.start == max(0, part.kept.start - tiling.HALO_PX)
            assert part.stop == min(length, part.kept.stop + tiling.HALO_PX)
            assert part.kept_inside.start == part.kept.start - part.start
    assert tiling.receptive_radius_px() <= tiling.HALO_PX


@pytest.mark.parametrize("size, side", [((470, 90), 64), ((100, 830), 208)])
def test_tiled_and_whole_maps_are_equal(model, rounding, size, side):
    image = photo(*size)
    whole = predictor(model, tile=0).defocus(image)
    tiled = predictor(model, tile=side).defocus(image)
    assert whole.std() > 0.01
    assert np.abs(tiled - whole).max() <= rounding


def test_a_smaller_overlap_would_be_seen(model, rounding, monkeypatch):
    """The comparison above can fail."""
    image = photo(470, 48)
    whole = predictor(model, tile=0).defocus(image)
    monkeypatch.setattr(tiling, "HALO_PX", 16)
    assert np.abs(predictor(model, tile=64).defocus(image) - whole).max() > 10 * rounding


def test_automatic_tiles_follow_size_and_memory():
    gigabyte = 2**30
    assert tiling.automatic_side(1024, 1024, 16, 8 * gigabyte) == 0
    assert tiling.automatic_side(4000, 6000, 16, 64 * gigabyte) == tiling.LARGEST_PX
    sides = [tiling.automatic_side(4000, 6000, 64, gb * gigabyte) for gb in (16, 8, 4, 2)]
    assert sides == sorted(sides, reverse=True) and len(set(sides)) == 4
    for side, gb in zip(sides, (16, 8, 4, 2), strict=True):
        assert side % 16 == 0
        pixels = (side + 2 * tiling.HALO_PX) ** 2
        assert pixels * 64 * tiling.BYTES_PER_PIXEL_CHANNEL <= tiling.MEMORY_SHARE * gb * gigabyte
    assert tiling.automatic_side(4000, 6000, 64, 0) == 64  # next to nothing is free
    assert inference.free_memory() > 0


def test_automatic_tiles_are_used(model, rounding, monkeypatch):
    image = photo(300, 40)
    whole = predictor(model, tile=0).defocus(image)
    calls = []
    monkeypatch.setattr(tiling, "automatic_side", lambda *sizes: calls.append(sizes) or 128)
    assert np.abs(predictor(model).defocus(image) - whole).max() <= rounding
    assert calls[0][:3] == (304, 48, 4)


@pytest.mark.parametrize("tile", [-16, 40, "whole", 1.5, True])
def test_wrong_tiles_are_refused_before_weights_are_read(tile):
    with pytest.raises(ValueError, match="multiple of 16, or 0 for whole photos; received"):
        Predictor("nowhere", tile=tile)


@pytest.mark.parametrize("max_side", [8, -1, True])
def test_wrong_sizes_are_refused(model, max_side):
    with pytest.raises(ValueError, match="at least 16 px, or 0 for full size; received"):
        predictor(model).sigma_px(photo(16, 16), max_side=max_side)


# --- reduced photos --------------------------------------------------------------------------


def test_a_reduced_photo_has_its_sigma_in_full_pixels(model):
    image = np.repeat(np.repeat(photo(40, 60), 4, 0), 4, 1)  # reducing by 4 gives it back
    small = predictor(model).sigma_px(image[::4, ::4])
    for encoding in ("paper", "released"):
        reduced = predictor(model, encoding).predict(image, max_side=60)
        assert reduced.scale == 0.25
        assert reduced.metadata.sigma_max_px == 28 and reduced.metadata.max_side == 60
        sigma_px, label = reduced.sigma_px, reduced.defocus
        assert sigma_px.shape == label.shape == (160, 240)
        assert label.max() <= 1
        back = ENCODINGS[encoding].label_to_sigma(label)
        np.testing.assert_allclose(back, np.minimum(sigma_px, 7), atol=1e-4)
    paper = predictor(model).sigma_px(image, max_side=60)
    assert 4 * small.min() - 1e-4 <= paper.min() and paper.max() <= 4 * small.max() + 1e-4
    assert abs(paper.mean() / (4 * small.mean()) - 1) < 0.02
    # Photos that are small enough are left alone.
    np.testing.assert_array_equal(
        predictor(model).sigma_px(image, max_side=240), predictor(model).sigma_px(image)
    )


def test_the_size_that_a_model_recommends_is_taken_unless_one_is_given(model):
    image, advised = photo(64, 96), predictor(model, recommended_side=48)
    made = advised.predict(image)
    assert (made.metadata.max_side, made.scale) == (48, 0.5)
    assert made.metadata.recommended_side == 48
    plain = predictor(model)
    np.testing.assert_array_equal(made.sigma_px, plain.sigma_px(image, max_side=48))
    for predict in (advised, plain):
        full = predict.predict(image, max_side=0)
        assert (full.metadata.max_side, full.scale) == (None, 1.0)
    np.testing.assert_array_equal(full.sigma_px, plain.sigma_px(image))
    assert advised.predict(image, max_side=32).metadata.max_side == 32


class Replaced:
    """A backend whose model is another one from the second part on."""

    settings = {}

    def __init__(self, backend, **changes):
        self.backend, self.parts, self.changes = backend, 0, changes
        self.metadata = backend.metadata

    def tile_side(self, height, width, wanted):
        return wanted

    def labels(self, part):
        self.parts += 1
        if self.parts == 2:
            self.metadata = replace(self.metadata, model="new", **self.changes)
        return self.backend.labels(part)[0], self.metadata


def test_no_map_is_made_of_two_models_or_of_another_ones_size(model):
    image = photo(128, 64)
    backend = Replaced(predictor(model).backend)
    made = AnyPredictor(backend, tile=64).predict(image)
    assert made.metadata.model == "new" and backend.parts == 4
    # A new model that recommends another size takes part in no map of the old one's size.
    backend = Replaced(predictor(model).backend, recommended_side=32)
    whole = AnyPredictor(backend, tile=0)
    assert whole.predict(image).metadata.max_side is None
    made = whole.predict(image)
    assert (made.metadata.max_side, backend.parts) == (32, 3)
    with pytest.raises(ModelChanged, match=r"must come from one model; .*3 times"):
        AnyPredictor(Restless(predictor(model).backend), tile=64).predict(image)


class Restless(Replaced):
    """A new model for every part."""

    def labels(self, part):
        self.parts += 1
        return self.backend.labels(part)[0], replace(self.metadata, model=str(self.parts))

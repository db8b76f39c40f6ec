"""Batches made on the device: those of the host, from the same numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data_gen.rendering.compositing import MASK_FLOOR
from data_gen.rendering.options import Realism
from data_gen.sources.base import Cached
from dmenet_tf import train
from dmenet_tf.config import Config, DataConfig, TrainingConfig
from dmenet_tf.data import on_device, resident, sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.on_device import OnDevice
from dmenet_tf.data.resident import Resident
from tests.support.datasets import write_three_streams

SMALL = DataConfig(
    crop=32, batch=2, validation_examples=2, procedural_scenes=3, data_on="device", cache=4
)
# Of images in [0, 1]: sums in another order.
ROUNDING = 2e-6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_three_streams(tmp_path_factory.mktemp("data"), 5)


def of_photos(data, **options):
    return replace(
        SMALL,
        synthetic=(str(data / "syndof"),),
        encoding="generator",
        labelled=(str(data / "cuhk"),),
        unlabelled=(str(data / "photos"),),
        **options,
    )


def compare(config, start=0, steps=4, unlabelled=True):
    """Batches of the device beside the host's; the largest difference of each key."""
    streams = sources.open_streams(config, 0)
    device = OnDevice(streams, config, unlabelled)
    make = tf.function(device.batch)
    expected = datasets.training_batches(streams, config, 0, start, unlabelled=unlabelled)
    largest = {}
    for theirs, drawn in zip(expected.take(steps), device.drawn(0, start).take(steps), strict=True):
        ours = make(drawn)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name].shape == value.shape and ours[name].dtype == value.dtype
            difference = np.abs(ours[name] - value).max()
            largest[name] = max(difference, largest.get(name, 0.0))
    return largest


@pytest.mark.parametrize(
    "options", [{}, {"photo_side": (36, 48), "synthetic_scale": (0.7, 1.0), "exposure": 1.0}]
)
def test_photos_and_ready_pairs_are_cut_as_on_the_host(data, options):
    assert max(compare(of_photos(data, **options)).values()) < ROUNDING


def test_a_batch_is_a_function_of_its_step(data):
    assert max(compare(of_photos(data), start=3, steps=2).values()) < ROUNDING


def test_without_d_there_are_no_unlabelled_photos(data):
    assert compare(of_photos(data), steps=1, unlabelled=False).keys() == {
        "synthetic", "defocus", "labelled", "blurred"
    }  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"realism": Realism(aperture="disc", linear_light=True), "synthetic_scale": (0.7, 1.0)},
        {"disc_share": 0.5, "sampler": "generator"},
        {"disc_share": 1.0},
    ],
)
def test_scenes_are_rendered_as_on_the_host(options):
    differences = compare(replace(SMALL, **options))
    # A mask that rounding moves across its floor counts on one side alone.
    assert differences.pop("synthetic") < 2 * MASK_FLOOR
    assert max(differences.values()) < ROUNDING


def test_noise_is_drawn_once_for_a_batch(data):
    config = of_photos(data, noise=0.2)
    streams = sources.open_streams(config, 0)
    elements = [OnDevice(streams, c) for c in (of_photos(data), config)]
    batches = [
        [device.batch(drawn)["synthetic"] for drawn in device.drawn(0).take(12)]
        for device in elements
    ]
    left, right = (np.concatenate(images) for images in batches)
    inside = (left > 0.3) & (left < 0.7)  # nothing is clipped there but the rarest
    deviations = [np.std((r - p)[i]) for p, r, i in zip(left, right, inside, strict=True)]
    assert 4 <= sum(deviation == 0 for deviation in deviations) <= 20  # half of 24
    assert 0.1 < max(deviations) < 0.22
    again = OnDevice(streams, config)
    for drawn, image in zip(again.drawn(0).take(2), batches[1], strict=False):
        np.testing.assert_array_equal(again.batch(drawn)["synthetic"], image)


def test_jpeg_is_stored_at_the_qualities_of_the_host(data):
    differences = compare(of_photos(data, jpeg_quality=70), steps=6)
    # Random pixels are what JPEG keeps least; TensorFlow's own JPEG differs from others as much.
    assert 0 < differences.pop("synthetic") < 0.5
    assert max(differences.values()) < ROUNDING


def test_what_cannot_be_rendered_in_a_batch_is_refused():
    config = replace(SMALL, realism=Realism(aperture="polygon", fill_background=True))
    with pytest.raises(ValueError, match="received polygon with fill_background"):
        OnDevice(sources.open_streams(config, 0), config)


def test_a_training_learns_the_same_wherever_its_data_are(tmp_path):
    first = {}
    for data_on in ("device", "auto"):
        run = tmp_path / data_on
        options = ["--preset", "tiny", "--width", "0.03", "--data-on", data_on, "--steps", "1"]
        assert train.main([*options, "--procedural-scenes", "4", "--run", str(run)]) == 0
        (line,) = (run / "losses.jsonl").read_text().splitlines()
        first[data_on] = json.loads(line)
    # Losses of the first step: of images that differ by rounding.
    assert first["device"] == pytest.approx(first["auto"], rel=1e-3)


@pytest.mark.parametrize(
    "training", [{"strategy": "mirrored"}, {"cached_crops": 8, "windows": (16,)}]
)
def test_it_is_for_one_device(training):
    with pytest.raises(ValueError, match="data_on 'device' is for one device"):
        Config(data=SMALL, training=TrainingConfig(**training))


class Items:
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def read(self, i):
        return self.items[i]


@pytest.mark.parametrize("values", [(0, 1), (0, 0.25, 1)])
def test_pixels_are_the_bits_of_the_source(values):
    rng = np.random.default_rng(0)
    items = [
        (rng.integers(0, 256, (h, w, 3), np.uint8), rng.choice(np.float32(values), (h, w)))
        for h, w in ((5, 9), (8, 3), (4, 4))
    ]
    held = Resident(Cached(Items(items)))
    np.testing.assert_array_equal(held.sizes, [[5, 9], [8, 3], [4, 4]])
    np.testing.assert_array_equal(held.ranges, [(p.min(), p.max()) for _, p in items])
    where = tf.constant([2, 0, 1]), tf.range(-2, 3)[None], tf.range(1, 6)[None]
    image, plane = held.image(*where), held.plane(*where)
    for n, i in enumerate((2, 0, 1)):
        padded = [np.pad(x, [(9, 9), (9, 9), (0, 0)][: x.ndim], "symmetric") for x in items[i]]
        np.testing.assert_array_equal(np.rint(image[n] * 255), padded[0][7:12, 10:15])
        np.testing.assert_array_equal(plane[n], padded[1][7:12, 10:15])


def test_more_than_fits_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(resident, "SHARE_OF_FREE_MEMORY", 0.0)
    items = [(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))]
    with pytest.raises(ValueError, match="must fit .* use --data-on host"):
        Resident(Cached(Items(items)))


@pytest.mark.parametrize("side", [32, 33, 47, 64])
def test_squares_are_reduced_as_tensorflow_does(side):
    square = tf.random.stateless_uniform([1, 64, 64, 3], [0, side])
    mine = on_device.reduced(square, tf.constant([side]), 32)
    inside = square[:, :side, :side]
    theirs = tf.image.resize(inside, (32, 32), method="bilinear", antialias=True)
    np.testing.assert_allclose(mine, theirs, atol=2e-6)
    nearest = on_device.nearest_places(tf.constant([side]), 32)
    picked = tf.gather(tf.gather(inside[0], nearest[0]), nearest[0], axis=1)
    theirs = tf.image.resize(inside, (32, 32), method="nearest")[0]
    np.testing.assert_array_equal(picked, theirs)

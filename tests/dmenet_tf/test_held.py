"""Photos held in memory: the same bits as from files, Python asked once, the budget kept."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data_gen.sources.base import Cached
from dmenet_tf.config import DataConfig
from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.held import MOST_VALUES, Budget, Held, pack
from tests.support.datasets import write_three_streams

SMALL = DataConfig(crop=32, batch=2, validation_examples=2)
KEY = tf.constant([3, 1])


class Counted:
    """Items of different sizes; how often each was read."""

    def __init__(self, values, count=3):
        rng = np.random.default_rng(0)
        self.reads = [0] * count
        self.items = [
            (rng.integers(0, 256, (40 + i, 50, 3), np.uint8), plane(rng, values, (40 + i, 50)))
            for i in range(count)
        ]

    def __len__(self):
        return len(self.items)

    def name(self, i):
        return str(i)

    def read(self, i):
        self.reads[i] += 1
        return self.items[i]


def plane(rng, values, shape):
    """Exactly so many values that are no fractions of 256."""
    drawn = rng.random(values).astype(np.float32)
    numbers = rng.permutation(np.arange(np.prod(shape)) % values)
    return drawn[numbers].reshape(shape)


@pytest.mark.parametrize("values", [1, 2, MOST_VALUES, MOST_VALUES + 1])
def test_windows_have_the_bits_of_the_source(values):
    source = Counted(values)
    held = Held(Cached(source, max_items=1), Budget(None))
    for _ in range(2):
        for i, (image, truth) in enumerate(source.items):
            item = held.item(tf.constant(i))
            np.testing.assert_array_equal(item.size, truth.shape)
            cut = item.window(tf.constant([5, 7]), 16)
            np.testing.assert_array_equal(cut[0], image[5:21, 7:23])
            np.testing.assert_array_equal(cut[1][..., 0], truth[5:21, 7:23])
    assert source.reads == [1, 1, 1]


def test_few_values_take_a_byte_a_pixel_and_many_four():
    image = np.zeros((4, 100, 3), np.uint8)
    rng = np.random.default_rng(0)
    few, many = (pack(image, plane(rng, n, (4, 100))) for n in (MOST_VALUES, MOST_VALUES + 1))
    # Multiples of 64: the head, the values, 1200 and 400 bytes; or 1200 and 1600.
    assert len(few) == 64 + 4 * MOST_VALUES + 1216 + 448
    assert len(many) == 64 + 1216 + 1600


def test_what_the_budget_does_not_hold_is_read_again():
    source = Counted(2)
    room = len(pack(*source.items[0]))
    cached = Cached(source, max_items=1)
    held = Held(cached, Budget(room))

    def sizes():
        return [held.item(tf.constant(i)).size.numpy().tolist() for i in (0, 1, 2)]

    assert sizes() == sizes() == [[40, 50], [41, 50], [42, 50]]
    assert source.reads == [1, 2, 2]


def test_a_held_item_is_not_cached_besides():
    source = Counted(2)
    cached = Cached(source, max_items=3)
    Held(cached, Budget(None)).item(tf.constant(1))
    cached.read(1)
    assert source.reads == [0, 2, 0]


def test_a_pipeline_asks_python_once_for_each_item():
    source = Counted(2)
    held = Held(Cached(source, max_items=1), Budget(None))

    def epoch(start):
        numbers = tf.data.Dataset.range(start, start + 3)
        pairs = numbers.map(lambda i: datasets.pair_example(held, KEY, i, 32))
        return [pair[0].numpy() for pair in pairs]

    epoch(0), epoch(3)
    assert source.reads == [1, 1, 1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_three_streams(tmp_path_factory.mktemp("data"), 4)


@pytest.mark.parametrize(
    "scaled", [{}, {"photo_side": (36, 48), "synthetic_scale": (0.8, 1.0), "noise": 0.02}]
)
def test_batches_are_equal_bit_for_bit_wherever_the_photos_are(data, scaled):
    config = replace(
        SMALL,
        synthetic=(str(data / "syndof"),),
        encoding="generator",
        labelled=(str(data / "cuhk"),),
        unlabelled=(str(data / "photos"),),
        **scaled,
    )

    def batches(data_on, start):
        own = replace(config, data_on=data_on)
        streams = sources.open_streams(own, 0)
        held = [isinstance(s, Held) for s in (streams.synthetic.source, streams.labelled)]
        assert held == [data_on != "files"] * 2
        return list(datasets.training_batches(streams, own, 0, start).take(5 - start))

    expected = batches("files", 0)
    for data_on, start in (("host", 0), ("auto", 0), ("host", 2)):
        for batch, other in zip(expected[start:], batches(data_on, start), strict=True):
            for name in batch:
                np.testing.assert_array_equal(batch[name], other[name])

"""The three streams of training images, and what is held out for validation.

    synthetic   I_S: RGB-D scenes rendered on the fly, or ready-made pairs of image and map
    labelled    I_B: real defocused photos with a binary map, 1 = blurred
    unlabelled  I_R: real defocused photos

A batch is a pure function of (seed, step): `training_batches(..., start=step)` continues a run
exactly. `sources.py` opens what the streams draw from.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_gen import augment, optics, pipeline
from data_gen.dataset.records import shuffled_records, window_in_memory
from dmenet_tf.config import DataConfig
from dmenet_tf.data.degradation import degrade
from dmenet_tf.data.held import Held
from dmenet_tf.data.iteration import Elements
from dmenet_tf.data.sources import Records, Streams, Synthetic, rendered_side, validation_crop


class Share(NamedTuple):
    """Replicas that a process feeds, `first` .. `first + here - 1` of `all`.

    Example i of a batch is replica i mod `all`'s.
    """

    first: int
    here: int
    all: int

    def of(self, batch: int) -> int:
        """How many images of a batch, a multiple of `all`, these take."""
        return batch * self.here // self.all

    def takes(self, number):
        """Whether example `number` of the stream, a tensor, is one of theirs."""
        replica = number % self.all
        return (replica >= self.first) & (replica < self.first + self.here)

    def divided(self, batch: dict) -> tuple[dict, ...]:
        """What each of them takes of a batch of `training_batches`."""
        parts = range(self.here)
        return tuple({k: value[i :: self.here] for k, value in batch.items()} for i in parts)


SYNTHETIC, LABELLED, UNLABELLED, VALIDATION = range(4)
# Streams of random numbers beside those of `pipeline`, which count from 0.
SCALE, DEGRADATION, APERTURE = 100, 101, 102


def training_batches(
    streams: Streams,
    config: DataConfig,
    seed: int,
    start=0,
    share: Share | None = None,
    unlabelled: bool = True,
) -> tf.data.Dataset:
    """One dict a step, from step `start` on, without end (see `trainer.py` for its keys).

    Args:
        share: the replicas whose examples these are, in the order of their numbers; None: all.
        unlabelled: whether there are unlabelled photos in it; without D nothing reads them.
    """

    def stream(domain, numbered, example):
        key = tf.constant([seed, domain], tf.int32)
        dataset = numbered.map(
            lambda item: example(key, item),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return dataset.batch(config.batch if share is None else share.of(config.batch), True)

    first = start * config.batch
    numbers = tf.data.Dataset.range(first, tf.int64.max)
    if share is not None:
        numbers = numbers.filter(share.takes)
    if streams.synthetic.records:
        stored = _shuffled(streams.synthetic.records, seed, first, share)
        synthetic = stream(SYNTHETIC, stored, lambda key, item: _varied_record(key, item, config))
    else:
        synthetic = stream(
            SYNTHETIC, numbers, lambda key, i: _varied_synthetic(streams.synthetic, key, i, config)
        )
    sources = [(LABELLED, streams.labelled), (UNLABELLED, streams.unlabelled)]
    photos = (
        stream(domain, numbers, lambda key, i, source=source: _varied_photo(source, key, i, config))
        for domain, source in sources[: 2 if unlabelled else 1]
    )
    batches = tf.data.Dataset.zip((synthetic, *photos))
    return batches.map(_name_batch).prefetch(tf.data.AUTOTUNE)


def _shuffled(records: Records, seed: int, first: int, share) -> tf.data.Dataset:
    """The records from number `first` on, each once an epoch, read in the graph."""
    window, keep = window_in_memory(records.folders), None if share is None else share.takes
    return shuffled_records(records.folders, seed, first, records.counts, window=window, keep=keep)


def _name_batch(synthetic, labelled, unlabelled=None):
    batch = {
        "synthetic": synthetic[0],
        "defocus": synthetic[1],
        "labelled": labelled[0],
        "blurred": labelled[1],
    }
    return batch if unlabelled is None else batch | {"unlabelled": unlabelled[0]}


def synthetic_example(stream: Synthetic, key, index, crop: int, config: DataConfig):
    """(image, defocus) of the running `index`: rendered, or cut from a ready-made pair."""
    if stream.ready:
        return pair_example(stream.source, key, index, crop)

    def rendered(realism):
        drawn = pipeline.example(key, index, stream.source, crop, config.sampler, realism)
        return drawn["image"], drawn["defocus"]

    if not config.disc_share:
        return rendered(config.realism)
    lens = replace(config.realism, aperture="disc", linear_light=True)
    return tf.cond(
        with_disc(key, index, config), lambda: rendered(lens), lambda: rendered(config.realism)
    )


def pair_example(source, key, index, crop: int, scale=None, values="kept"):
    """A crop of a photo and its map, flipped and turned: ([S, S, 3], [S, S, 1]) float32.

    scale: None, or a function of the image's size (height, width) and a number drawn from [0, 1):
        by how much what is cut is resized. `values` as of `augment.resize_with_map`.
    """
    item = augment.epoch_index(pipeline.fold(key, pipeline.ORDER), index, len(source))
    if isinstance(source, Held):
        held = source.item(item)
        return _cut(key, index, held.size, held.window, crop, scale, values)
    image, plane = pipeline.read_pair(source, item)
    return _cut(key, index, *_cuttable(image, plane[..., None]), crop, scale, values)


def _cuttable(image, plane):
    """(size int32 [2], what cuts a square from both) of an image [H, W, 3] and its map."""

    def window(corner, side):
        return [tf.slice(x, [corner[0], corner[1], 0], [side, side, -1]) for x in (image, plane)]

    return tf.shape(image)[:2], window


def _cut(key, index, size, window, crop: int, scale, values):
    """`pair_example` of an image of `size`, at least `crop` px on its short side.

    window: (corner int32 [2], side) -> that square of the image and of its map.
    """
    corner, side = place(key, index, size, crop, scale)
    cut = window(corner, side)
    if scale is not None:
        cut = _resized(cut, crop, side, values)
    image, plane = _of_side(cut, crop)
    # Bytes are turned faster than floats.
    turned = augment.random_flip_turn(pipeline.fold(key, pipeline.TURN, index), image, plane)
    return _as_float(turned[0]), turned[1]


def place(key, index, size, crop: int, scale):
    """(top left corner int32 [2], side) of the square of an image that becomes a crop.

    Without a `scale` (see `pair_example`), a crop; else about crop / scale px: quicker than to
    resize all and cut.
    """
    seed = pipeline.fold(key, pipeline.CROP, index)
    if scale is None:
        return augment.crop_corner(seed, size, crop), crop
    draw = tf.random.stateless_uniform([], pipeline.fold(key, SCALE, index))
    return _square(seed, size, crop, scale(size, draw))


def place_in_rendered(key, index, size, crop: int, scale):
    """`place` in a rendered square, of which the place in its scene was drawn before."""
    draw = tf.random.stateless_uniform([], pipeline.fold(key, SCALE, index))
    return _square(pipeline.fold(key, SCALE, index, 1), size, crop, scale(size, draw))


def _square(seed, size, crop: int, scale):
    side = tf.cast(tf.round(crop / scale), tf.int32)
    side = tf.clip_by_value(side, crop, tf.reduce_min(size))
    return augment.crop_corner(seed, size, side), side


def _resized(cut, crop: int, side, values):
    image, plane = cut
    return augment.resize_with_map(_as_float(image), plane, crop / side, values=values)


def _as_float(image):
    """uint8 -> float32 in [0, 1]; float32 as it is."""
    return tf.cast(image, tf.float32) / 255.0 if image.dtype == tf.uint8 else image


def _of_side(cut, crop: int):
    image, plane = cut
    return tf.ensure_shape(image, [crop, crop, 3]), tf.ensure_shape(plane, [crop, crop, 1])


def _varied_photo(source, key, index, config: DataConfig):
    """A crop of a photo at a size drawn from `config.photo_side`."""
    return pair_example(source, key, index, config.crop, photo_scale(config))


def photo_scale(config: DataConfig):
    """By how much photos are resized, as of `pair_example`."""
    low, high = config.photo_side
    if not high:
        return None

    def scale(size, draw):
        side = low * tf.pow(high / low, draw)  # equal chances for equal ratios
        return tf.cast(side, tf.float32) / tf.cast(tf.reduce_max(size), tf.float32)

    return scale


def _varied_synthetic(stream: Synthetic, key, index, config: DataConfig):
    """(image, defocus) of the running `index` at a size drawn from `config.synthetic_scale`."""
    scale = synthetic_scale(config)
    if stream.ready:
        image, plane = pair_example(stream.source, key, index, config.crop, scale, "scaled")
    else:
        image, plane = synthetic_example(stream, key, index, rendered_side(config), config)
        if scale is not None:
            size, window = _cuttable(image, plane)
            corner, side = place_in_rendered(key, index, size, config.crop, scale)
            cut = _resized(window(corner, side), config.crop, side, "scaled")
            image, plane = _of_side(cut, config.crop)
    return _degraded(key, index, image, config), plane


def _varied_record(key, record: dict, config: DataConfig):
    """As `_varied_synthetic`, of a record of `shuffled_records`."""
    image, plane = augment.fit_to_crop(
        record["image"], record["defocus"], rendered_side(config), values="scaled"
    )
    index, scale = record["number"], synthetic_scale(config)
    whole = _cuttable(image, plane)
    image, plane = _cut(key, index, *whole, config.crop, scale, "scaled")
    return _degraded(key, index, image, config), plane


def synthetic_scale(config: DataConfig):
    """By how much synthetic images are resized, as of `pair_example`."""
    low, high = config.synthetic_scale
    return None if low == 1 else lambda size, draw: low + (high - low) * draw


def _degraded(key, index, image, config: DataConfig):
    seed = pipeline.fold(key, DEGRADATION, index)
    return degrade(seed, image, config.exposure, config.noise, config.jpeg_quality)


def with_disc(key, index, config: DataConfig):
    """Whether example `index` of rendered scenes is one of `disc_share`."""
    return tf.random.stateless_uniform([], pipeline.fold(key, APERTURE, index)) < config.disc_share


def validation_set(streams: Streams, config: DataConfig, seed: int):
    """Held-out synthetic examples, the same in every run of a seed.

    Returns (images [N, S, S, 3], defocus [N, S, S, 1]) float32.
    """
    key, crop = tf.constant([seed, VALIDATION], tf.int32), validation_crop(config)
    dataset = tf.data.Dataset.range(config.validation_examples).map(
        lambda index: synthetic_example(streams.held_out, key, index, crop, config),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    with Elements(dataset) as examples:
        images, maps = zip(*examples, strict=True)
    return np.stack(images), np.stack(maps)


def to_label(defocus, encoding: str):
    """`defocus` (sigma / 7), arrays or tensors -> the label of an encoding of `data_gen.optics`."""
    return optics.ENCODINGS[encoding].sigma_to_label(optics.defocus_to_sigma(defocus))

"""The three streams of training images, and what is held out for validation.

    synthetic   I_S: RGB-D scenes rendered on the fly, or ready-made pairs of image and map
    labelled    I_B: real defocused photos with a binary map, 1 = blurred
    unlabelled  I_R: real defocused photos

A batch is a pure function of (seed, step): `training_batches(..., start=step)` continues a run
exactly. Every stream has its embedded default, so that training works with no data at all.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_gen import augment, optics, pipeline
from data_gen.dataset import folders, records, shards
from data_gen.sources import rgbd
from data_gen.sources.base import Subset, concat
from dmenet_tf.config import DataConfig
from dmenet_tf.data.cutouts import CutoutPhotos
from dmenet_tf.data.degradation import degrade
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.data.masks import check_polarity
from dmenet_tf.data.unlabelled import UnlabelledPhotos, default_unlabelled

SYNTHETIC, LABELLED, UNLABELLED, VALIDATION = range(4)
# Streams of random numbers beside those of `pipeline`, which count from 0.
SCALE, DEGRADATION, APERTURE = 100, 101, 102
HELD_OUT_SHARE = 0.1
EMBEDDED_LABELLED = 512
# Embedded pictures are larger than a crop by this much, so that crops of one differ; and not so
# small that nothing can be told apart in them.
EMBEDDED_MARGIN, EMBEDDED_SIDE_MIN_PX = 1.25, 32


class Synthetic(NamedTuple):
    """A source of I_S; `ready`: its items are defocused pairs and not RGB-D scenes."""

    source: object
    ready: bool


class Streams(NamedTuple):
    """Open sources, each fitted to what is cut from it."""

    synthetic: Synthetic
    held_out: Synthetic
    labelled: object
    labelled_held_out: object | None
    unlabelled: object


def open_streams(config: DataConfig, seed: int) -> Streams:
    """Opens all sources and checks them; raises on what is missing or wrong, naming the file."""
    train, held_out, ready = _open_synthetic(config, seed)
    labelled, labelled_held_out = _open_labelled(config, seed)
    given = config.unlabelled
    unlabelled = UnlabelledPhotos(*given) if given else default_unlabelled()

    crop = config.crop

    def fitted(source, crop=crop, cache=config.cache, values="kept"):
        return pipeline.fitted(source, crop, cache, values)

    values = "scaled" if ready else "kept"
    synthetic = Synthetic(fitted(train, _rendered_side(config), values=values), ready)
    if config.fixed_examples and not ready:
        scenes = fitted(train, _rendered_side(config), cache=16)
        rendered = pipeline.Rendered(
            scenes, seed, config.fixed_examples, config.sampler, config.realism
        )
        rendered = fitted(rendered, _rendered_side(config), values="scaled")
        synthetic = Synthetic(rendered, ready=True)
    return Streams(
        synthetic,
        Synthetic(fitted(held_out, _validation_crop(config), cache=16, values=values), ready),
        fitted(labelled),
        labelled_held_out,
        fitted(_WithoutMap(unlabelled)),
    )


def training_batches(streams: Streams, config: DataConfig, seed: int, start=0) -> tf.data.Dataset:
    """One dict a step, from step `start` on, without end (see `trainer.py` for its keys)."""

    def stream(domain, example):
        key = tf.constant([seed, domain], tf.int32)
        dataset = tf.data.Dataset.range(start * config.batch, tf.int64.max)
        dataset = dataset.map(
            lambda index: example(key, index),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return dataset.batch(config.batch, drop_remainder=True)

    datasets = (
        stream(
            SYNTHETIC,
            lambda key, i: _varied_synthetic(streams.synthetic, key, i, config),
        ),
        stream(LABELLED, lambda key, i: _varied_photo(streams.labelled, key, i, config)),
        stream(UNLABELLED, lambda key, i: _varied_photo(streams.unlabelled, key, i, config)),
    )
    return tf.data.Dataset.zip(datasets).map(_name_batch).prefetch(tf.data.AUTOTUNE)


def _name_batch(synthetic, labelled, unlabelled):
    return {
        "synthetic": synthetic[0],
        "defocus": synthetic[1],
        "labelled": labelled[0],
        "blurred": labelled[1],
        "unlabelled": unlabelled[0],
    }


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
    draw = tf.random.stateless_uniform([], pipeline.fold(key, APERTURE, index))
    return tf.cond(
        draw < config.disc_share, lambda: rendered(lens), lambda: rendered(config.realism)
    )


def pair_example(source, key, index, crop: int, scale=None, values="kept"):
    """A crop of a photo and its map, flipped and turned: ([S, S, 3], [S, S, 1]) float32.

    scale: None, or a function of the image's size (height, width) and a number drawn from [0, 1):
        by how much what is cut is resized. `values` as of `augment.resize_with_map`.
    """
    item = augment.epoch_index(pipeline.fold(key, pipeline.ORDER), index, len(source))
    image, plane = pipeline.read_pair(source, item)
    seed, plane = pipeline.fold(key, pipeline.CROP, index), plane[..., None]
    if scale is None:
        image, plane = augment.random_crop(seed, image, plane, crop)
    else:
        size = tf.shape(image)[:2]
        draw = tf.random.stateless_uniform([], pipeline.fold(key, SCALE, index))
        image, plane = _resized_crop(seed, image, plane, crop, scale(size, draw), values)
    return augment.random_flip_turn(pipeline.fold(key, pipeline.TURN, index), image, plane)


def _resized_crop(seed, image, plane, crop: int, scale, values):
    """A square of about crop / scale px, resized to `crop`: quicker than to resize all and cut."""
    size = tf.shape(image)[:2]
    side = tf.cast(tf.round(crop / scale), tf.int32)
    side = tf.clip_by_value(side, crop, tf.reduce_min(size))
    corner = augment.crop_corner(seed, size, side)
    cut = [tf.slice(x, [corner[0], corner[1], 0], [side, side, -1]) for x in (image, plane)]
    resized = augment.resize_with_map(*cut, crop / side, values=values)
    return tuple(tf.ensure_shape(x, [crop, crop, x.shape[-1]]) for x in resized)


def _varied_photo(source, key, index, config: DataConfig):
    """A crop of a photo at a size drawn from `config.photo_side`."""
    low, high = config.photo_side
    if not high:
        return pair_example(source, key, index, config.crop)

    def scale(size, draw):
        side = low * tf.pow(high / low, draw)  # equal chances for equal ratios
        return tf.cast(side, tf.float32) / tf.cast(tf.reduce_max(size), tf.float32)

    return pair_example(source, key, index, config.crop, scale)


def _varied_synthetic(stream: Synthetic, key, index, config: DataConfig):
    """(image, defocus) of the running `index` at a size drawn from `config.synthetic_scale`."""
    low, high = config.synthetic_scale

    def scale(size, draw):
        return low + (high - low) * draw

    if low == 1:
        image, plane = synthetic_example(stream, key, index, config.crop, config)
    elif stream.ready:
        image, plane = pair_example(stream.source, key, index, config.crop, scale, "scaled")
    else:
        image, plane = synthetic_example(stream, key, index, _rendered_side(config), config)
        draw = tf.random.stateless_uniform([], pipeline.fold(key, SCALE, index))
        seed = pipeline.fold(key, SCALE, index, 1)
        image, plane = _resized_crop(seed, image, plane, config.crop, scale(None, draw), "scaled")
    seed = pipeline.fold(key, DEGRADATION, index)
    return degrade(seed, image, config.exposure, config.noise, config.jpeg_quality), plane


def _rendered_side(config: DataConfig) -> int:
    """Side in pixels of the squares from which crops of I_S are resized."""
    return math.ceil(config.crop / config.synthetic_scale[0])


def validation_set(streams: Streams, config: DataConfig, seed: int):
    """Held-out synthetic examples, the same in every run of a seed.

    Returns (images [N, S, S, 3], defocus [N, S, S, 1]) float32.
    """
    key, crop = tf.constant([seed, VALIDATION], tf.int32), _validation_crop(config)
    dataset = tf.data.Dataset.range(config.validation_examples).map(
        lambda index: synthetic_example(streams.held_out, key, index, crop, config),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    images, maps = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.stack(maps)


def to_label(defocus, encoding: str):
    """`defocus` (sigma / 7), arrays or tensors -> the label of an encoding of `data_gen.optics`."""
    return optics.ENCODINGS[encoding].sigma_to_label(optics.defocus_to_sigma(defocus))


# --- opening ---------------------------------------------------------------------------------


class _WithoutMap:
    """Unlabelled photos as pairs, so that they take the same path; their map is never used."""

    def __init__(self, source):
        self.source, self.name = source, source.name

    def __len__(self):
        return len(self.source)

    def read(self, index):
        image = self.source.read(index)
        return image, np.zeros(image.shape[:2], np.float32)


def _embedded_side(config: DataConfig) -> int:
    largest = max(config.crop, _validation_crop(config))
    return max(round(largest * EMBEDDED_MARGIN), EMBEDDED_SIDE_MIN_PX)


def _validation_crop(config: DataConfig) -> int:
    return config.validation_crop or config.crop


def _open_synthetic(config: DataConfig, seed: int):
    if not config.synthetic:
        side = _embedded_side(config)
        train = pipeline.ProceduralScenes(seed, config.procedural_scenes, side, side)
        # Scenes of another seed share nothing with those of the training.
        held_out = pipeline.ProceduralScenes(seed + 1, config.validation_examples, side, side)
        return train, held_out, False
    opened = [open_path(Path(path), config) for path in config.synthetic]
    apart = [open_path(Path(path), config) for path in config.synthetic_validation]
    kinds = {ready for _, ready in opened + apart}
    if len(kinds) > 1:
        raise ValueError(
            "data.synthetic and data.synthetic_validation hold either RGB-D scenes or ready-made "
            "pairs of image and map; received both: "
            + ", ".join(config.synthetic + config.synthetic_validation)
        )
    if apart:
        train, held_out = ([source for source, _ in part] for part in (opened, apart))
        return concat(train), concat(held_out), kinds.pop()
    train, held_out = zip(*(split_held_out(source) for source, _ in opened), strict=True)
    held_out = [part for part in held_out if len(part)]
    # Too few scenes to hold any out: other lenses on the same ones are all there is.
    return concat(train), concat(held_out or train), kinds.pop()


def open_path(path: Path, config: DataConfig):
    if shards.is_records(path):
        return records.open_records(path), True
    if (path / "blur_map").is_dir():
        return folders.open_folder(path, config.encoding), True
    return rgbd.open_source(path, config.layout, config.depth, config.bgr_scenes), False


def split_held_out(source):
    # The last ones and not every tenth: neighbours in a folder often show the same room.
    border = len(source) - round(HELD_OUT_SHARE * len(source))
    return Subset(source, range(border)), Subset(source, range(border, len(source)))


def _open_labelled(config: DataConfig, seed: int):
    if not config.labelled:
        side = _embedded_side(config)
        train = CutoutPhotos(seed, EMBEDDED_LABELLED, side)
        return train, CutoutPhotos(seed + 1, config.validation_examples, side)

    def opened(names):
        return concat([LabelledPhotos(path, config.polarity, names) for path in config.labelled])

    train = opened(config.labelled_names)
    check_polarity(train)
    held_out = opened(config.labelled_validation) if config.labelled_validation else None
    return train, held_out

"""The three streams of training images, and what is held out for validation.

    synthetic   I_S: RGB-D scenes rendered on the fly, or ready-made pairs of image and map
    labelled    I_B: real defocused photos with a binary map, 1 = blurred
    unlabelled  I_R: real defocused photos

A batch is a pure function of (seed, step): `training_batches(..., start=step)` continues a run
exactly. Every stream has its embedded default, so that training works with no data at all.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_gen import augment, optics, pipeline
from data_gen.dataset import records
from data_gen.sources import rgbd as sources
from dmenet_tf.config import DataConfig
from dmenet_tf.data import photos

SYNTHETIC, LABELLED, UNLABELLED, VALIDATION = range(4)
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
    if config.unlabelled:
        unlabelled = photos.UnlabelledPhotos(*config.unlabelled)
    else:
        unlabelled = photos.default_unlabelled()

    def fitted(source, crop=config.crop, cache=config.cache, values="kept"):
        return pipeline.Fitted(source, crop, cache, values)

    values = "scaled" if ready else "kept"
    synthetic = Synthetic(fitted(train, values=values), ready)
    if config.fixed_examples and not ready:
        scenes = fitted(train, cache=16)
        rendered = pipeline.Rendered(
            scenes, seed, config.fixed_examples, config.sampler, config.realism
        )
        synthetic = Synthetic(fitted(rendered, values="scaled"), ready=True)
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
            lambda key, i: synthetic_example(streams.synthetic, key, i, config.crop, config),
        ),
        stream(LABELLED, lambda key, i: pair_example(streams.labelled, key, i, config.crop)),
        stream(UNLABELLED, lambda key, i: pair_example(streams.unlabelled, key, i, config.crop)),
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
    drawn = pipeline.example(key, index, stream.source, crop, config.sampler, config.realism)
    return drawn["image"], drawn["defocus"]


def pair_example(source, key, index, crop: int):
    """A crop of a photo and its map, flipped and turned: ([S, S, 3], [S, S, 1]) float32."""
    item = augment.epoch_index(pipeline.fold(key, pipeline.ORDER), index, len(source))
    image, plane = pipeline.read_pair(source, item)
    image, plane = augment.random_crop(
        pipeline.fold(key, pipeline.CROP, index), image, plane[..., None], crop
    )
    return augment.random_flip_turn(pipeline.fold(key, pipeline.TURN, index), image, plane)


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


class _Part:
    """Items `start` .. `stop` of a source."""

    def __init__(self, source, start: int, stop: int):
        self.source, self.start, self.stop = source, start, stop

    def __len__(self):
        return self.stop - self.start

    def name(self, index):
        return self.source.name(self.start + index)

    def read(self, index):
        return self.source.read(self.start + index)


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
    kinds = {ready for _, ready in opened}
    if len(kinds) > 1:
        raise ValueError(
            "data.synthetic holds either RGB-D scenes or ready-made pairs of image and map; "
            f"received both: {', '.join(config.synthetic)}"
        )
    train, held_out = zip(*(split_held_out(source) for source, _ in opened), strict=True)
    held_out = [part for part in held_out if len(part)]
    # Too few scenes to hold any out: other lenses on the same ones are all there is.
    return sources.join(train), sources.join(held_out or train), kinds.pop()


def open_path(path: Path, config: DataConfig):
    if records.is_records(path):
        return records.open_records(path), True
    if (path / "blur_map").is_dir():
        return records.open_folder(path, config.encoding), True
    return sources.open_source(path, config.layout, config.depth, config.bgr_scenes), False


def split_held_out(source):
    # The last ones and not every tenth: neighbours in a folder often show the same room.
    border = len(source) - round(HELD_OUT_SHARE * len(source))
    return _Part(source, 0, border), _Part(source, border, len(source))


def _open_labelled(config: DataConfig, seed: int):
    if not config.labelled:
        side = _embedded_side(config)
        train = photos.CutoutPhotos(seed, EMBEDDED_LABELLED, side)
        return train, photos.CutoutPhotos(seed + 1, config.validation_examples, side)

    def opened(names):
        return sources.join(
            [photos.LabelledPhotos(path, config.polarity, names) for path in config.labelled]
        )

    train = opened(config.labelled_names)
    photos.check_polarity(train)
    held_out = opened(config.labelled_validation) if config.labelled_validation else None
    return train, held_out

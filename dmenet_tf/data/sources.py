"""Opens what the three streams of training images are made of; `streams.py` draws from it.

Every stream has its embedded default, so that training works with no data at all.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_gen import pipeline
from data_gen.dataset import folders, records, shards
from data_gen.io.remote import RemotePath, place
from data_gen.sources import rgbd, segments
from data_gen.sources.base import Cached, Source, Subset, Wrapper, concat
from data_gen.sources.layout_names import SEGMENTS
from dmenet_tf.config import DataConfig
from dmenet_tf.console import note
from dmenet_tf.data.cutouts import CutoutPhotos
from dmenet_tf.data.held import Budget, Held
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.data.masks import check_polarity
from dmenet_tf.data.unlabelled import UnlabelledPhotos, default_unlabelled
from dmenet_tf.data.unreadable import Tolerant, check_headers, check_whole

HELD_OUT_SHARE = 0.1
EMBEDDED_LABELLED = 512
# Embedded pictures are larger than a crop by this much, so that crops of one differ; and not so
# small that nothing can be told apart in them.
EMBEDDED_MARGIN, EMBEDDED_SIDE_MIN_PX = 1.25, 32


class Records(NamedTuple):
    """Folders of TFRecord shards, and how many records from the beginning of each are used."""

    folders: tuple[records.RecordIndex, ...]
    counts: tuple[int, ...]


class Synthetic(NamedTuple):
    """A source of I_S; `ready`: its items are defocused pairs and not RGB-D scenes.

    records: the same items where all of them are TFRecords, which are read in the graph.
    """

    source: Source
    ready: bool
    records: Records | None = None


class Streams(NamedTuple):
    """Open sources, each fitted to what is cut from it.

    tolerant: the collections whose unreadable photos are skipped. readers: what the streams read
    through, scenes before what is rendered from them.
    """

    synthetic: Synthetic
    held_out: Synthetic
    labelled: Source
    labelled_held_out: Source | None
    unlabelled: Source
    tolerant: tuple[Tolerant, ...] = ()
    readers: tuple[Cached, ...] = ()

    @property
    def skipped(self) -> list[str]:
        """What is wrong with each photo that was skipped so far, naming its file."""
        return [problem for source in self.tolerant for problem in source.skipped]


def open_streams(
    config: DataConfig, seed: int, progress: Callable = lambda items, **_: items
) -> Streams:
    """Opens all sources and checks the headers of their files, and held-out photos as a whole.

    Args:
        progress: wraps the iterable of files that are checked, as tqdm does.
    Raises:
        DataFileError, ValueError: what is missing or wrong, naming the file.
    """
    synthetic, held_out = _open_synthetic(config, seed)
    labelled, labelled_held_out = _open_labelled(config, seed)
    unlabelled = _open_unlabelled(config)
    tolerant = tuple(x for x in (*labelled, unlabelled) if isinstance(x, Tolerant))
    check_headers([synthetic.source, held_out.source, *tolerant], progress)
    if config.labelled_validation:
        check_whole(labelled_held_out, progress)
    labelled = concat(labelled)
    if config.labelled:
        check_polarity(labelled)
    readers, hold = [], _holder(config)

    def fitted(source, crop=config.crop, cache=config.cache, values="kept"):
        readers.append(pipeline.fitted(source, crop, cache, values))
        return readers[-1]

    side, values = rendered_side(config), "scaled" if synthetic.ready else "kept"
    if config.fixed_examples and not synthetic.ready:
        scenes = fitted(synthetic.source, side, cache=16)
        rendered = pipeline.Rendered(
            scenes, seed, config.fixed_examples, config.sampler, config.realism
        )
        train = Synthetic(hold(fitted(rendered, side, values="scaled")), ready=True)
    else:
        source = fitted(synthetic.source, side, values=values)
        # Scenes are read for the renderer, records by an operation of their own.
        held = synthetic.ready and not synthetic.records
        train = synthetic._replace(source=hold(source) if held else source)
    held_out_side = validation_crop(config)
    return Streams(
        train,
        held_out._replace(source=fitted(held_out.source, held_out_side, cache=16, values=values)),
        hold(fitted(labelled)),
        labelled_held_out,
        hold(fitted(unlabelled)),
        tolerant,
        tuple(readers),
    )


def _holder(config: DataConfig) -> Callable[[Cached], Source]:
    """What holds a source in memory, as `config.data_on` says."""
    if config.data_on in ("files", "device"):  # the latter reads each item once, and keeps it
        return lambda source: source
    budget = Budget(None) if config.data_on == "host" else Budget.of_free_memory()
    return lambda source: Held(source, budget)


def rendered_side(config: DataConfig) -> int:
    """Side in pixels of the squares from which crops of I_S are resized."""
    return math.ceil(config.crop / config.synthetic_scale[0])


def validation_crop(config: DataConfig) -> int:
    """Side in pixels of the held-out examples of I_S."""
    return config.validation_crop or config.crop


def _embedded_side(config: DataConfig) -> int:
    largest = max(config.crop, validation_crop(config))
    return max(round(largest * EMBEDDED_MARGIN), EMBEDDED_SIDE_MIN_PX)


# --- synthetic ---------------------------------------------------------------------------------


def _open_synthetic(config: DataConfig, seed: int) -> tuple[Synthetic, Synthetic]:
    """What is trained on, and what is held out."""
    if not config.synthetic:
        side = _embedded_side(config)
        train = pipeline.ProceduralScenes(seed, config.procedural_scenes, side, side)
        # Scenes of another seed share nothing with those of the training.
        held_out = pipeline.ProceduralScenes(seed + 1, config.validation_examples, side, side)
        return Synthetic(train, False), Synthetic(held_out, False)
    opened = [open_path(place(path), config) for path in config.synthetic]
    apart = [open_path(place(path), config) for path in config.synthetic_validation]
    kinds = {ready for _, ready in opened + apart}
    if len(kinds) > 1:
        raise ValueError(
            "data.synthetic and data.synthetic_validation hold either RGB-D scenes or ready-made "
            "pairs of image and map; received both: "
            + ", ".join(config.synthetic + config.synthetic_validation)
        )
    sources, ready = [source for source, _ in opened], kinds.pop()
    if apart:
        train, held_out = sources, [source for source, _ in apart]
    else:
        train, held_out = zip(*map(split_held_out, sources), strict=True)
        held_out = [part for part in held_out if len(part)]
    # Too few scenes to hold any out: other lenses on the same ones are all there is.
    held_out = concat(held_out or train)
    return Synthetic(concat(train), ready, _records(sources, train)), Synthetic(held_out, ready)


def _records(sources, train) -> Records | None:
    """The records of `train`, which are the first ones of each of the `sources`."""
    if not all(isinstance(source, records.RecordIndex) for source in sources):
        return None
    return Records(tuple(sources), tuple(map(len, train)))


def open_path(path: Path | RemotePath, config) -> tuple[Source, bool]:
    """A folder of I_S, and whether it holds ready-made pairs. `config`: a `DataConfig`, or any
    object with its fields `encoding`, `layout`, `depth`, `bgr_scenes` and `resize_depth`."""
    if shards.is_records(path):
        return records.open_records(path), True
    if isinstance(path, RemotePath):
        raise ValueError(f"a URL must hold TFRecord shards; received {path}, which holds none")
    if (path / "blur_map").is_dir():
        return folders.open_folder(path, config.encoding), True
    if config.layout == SEGMENTS:
        return segments.training_scenes(path), False
    how = config.depth, config.bgr_scenes
    source = rgbd.open_source(path, config.layout, *how, resize_depth=config.resize_depth)
    if line := source.note():
        note(line)
    return source, False


def split_held_out(source: Source) -> tuple[Subset, Subset]:
    """What is trained on, and the last tenth, held out."""
    # The last ones and not every tenth: neighbours in a folder often show the same room.
    border = len(source) - round(HELD_OUT_SHARE * len(source))
    return Subset(source, range(border)), Subset(source, range(border, len(source)))


# --- photos ------------------------------------------------------------------------------------


def _open_labelled(config: DataConfig, seed: int) -> tuple[list[Source], Source | None]:
    """The collections that are trained on, and what is held out."""
    if not config.labelled:
        side = _embedded_side(config)
        train = CutoutPhotos(seed, EMBEDDED_LABELLED, side)
        return [train], CutoutPhotos(seed + 1, config.validation_examples, side)

    def opened(names):
        return [LabelledPhotos(path, config.polarity, names) for path in config.labelled]

    train = [Tolerant(photos, config.max_bad) for photos in opened(config.labelled_names)]
    if not config.labelled_validation:
        return train, None
    return train, concat(opened(config.labelled_validation))


def _open_unlabelled(config: DataConfig) -> Source:
    if not config.unlabelled:
        return _WithoutMap(default_unlabelled())
    return Tolerant(_WithoutMap(UnlabelledPhotos(*config.unlabelled)), config.max_bad)


class _WithoutMap(Wrapper):
    """Unlabelled photos as pairs, so that they take the same path; their map is never used."""

    def __init__(self, source):
        self.source = source

    def read(self, i):
        image = self.source.read(i)
        return image, np.zeros(image.shape[:2], np.float32)

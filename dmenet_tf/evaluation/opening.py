"""Opens what a protocol is evaluated on: options -> (samples, a line that describes them).

TensorFlow and the readers are imported only when something is opened, so that the protocols can be
listed without them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_gen.optics import EncodingOrAuto

# Far from the small seeds that training and validation use.
SEED = 1000
PROCEDURAL_SCENES, PROCEDURAL_SIDE_PX = 64, 256


@dataclass(frozen=True)
class SampleOptions:
    """What to evaluate on. None is the default of the protocol."""

    data: tuple[Path, ...] = ()
    names: str | None = None
    """A range of numbers, or a file of names; None for all."""
    polarity: Literal["blurred", "sharp"] | None = None
    """What 255 means in masks."""
    radius_table: Path | None = None
    """CSV of disc radius and Gaussian sigma."""
    count: int | None = None
    """Number of renderings; None: one of each scene."""
    seed: int | None = None
    sampler: Literal["paper", "generator"] | None = None
    held_out: bool | None = None
    """Only what training holds out of each folder."""
    encoding: EncodingOrAuto | None = None
    depth: Literal["auto", "metric", "inverse"] | None = None
    bgr_scenes: tuple[str, ...] | None = None
    resize_depth: Literal["nearest"] | None = None


HOW_FILES_ARE_READ = ("encoding", "depth", "bgr_scenes", "resize_depth")


@dataclass(frozen=True)
class SceneFiles:
    """How the files of RGB-D scenes and of ready-made pairs are read."""

    encoding: EncodingOrAuto = "auto"
    layout: str = "auto"
    depth: str = "auto"
    bgr_scenes: tuple[str, ...] = ()
    resize_depth: str | None = None


def labelled_photos(options: SampleOptions):
    """Photos with binary masks, of `cuhk` and `dbd`."""
    from data_gen.sources.base import concat
    from dmenet_tf.data.labelled import LabelledPhotos

    polarity = options.polarity or "blurred"
    opened = [LabelledPhotos(path, polarity, options.names) for path in options.data]
    return concat(opened), f"{_described(options)}; 255 = {polarity}"


def rtf_photos(options: SampleOptions):
    """Photos with maps of disc radii, of `rtf`."""
    from data_gen.sources.base import concat
    from dmenet_tf.evaluation import samples

    to_sigma, by = samples.disc_sigma_px, "sigma = radius/2, not a published table"
    if options.radius_table:
        to_sigma = samples.read_radius_table(options.radius_table)
        by = f"nearest radius in {options.radius_table.name}"
    opened = concat([samples.RtfPhotos(path, to_sigma) for path in options.data])
    return _chosen(opened, options), f"{_described(options)}; {by}"


def rendered_segments(options: SampleOptions):
    """Segmented photos rendered as planes at random distances, of `segments`."""
    from data_gen.sources.base import concat
    from data_gen.sources.segments import SegmentScenes

    opened = [SegmentScenes(path, _seed(options)) for path in options.data]
    return _rendered(concat(opened), _described(options), options)


def rendered_scenes(options: SampleOptions):
    """RGB-D scenes rendered here, or ready-made pairs as they are, of `syndof`."""
    from data_gen import pipeline
    from data_gen.sources.base import concat
    from dmenet_tf.data import sources

    if not options.data:
        count, side = options.count or PROCEDURAL_SCENES, PROCEDURAL_SIDE_PX
        scenes = pipeline.ProceduralScenes(_seed(options), count, side, side)
        return _rendered(scenes, "embedded procedural scenes", options)
    given = {name: getattr(options, name) for name in HOW_FILES_ARE_READ}
    files = SceneFiles(**{name: value for name, value in given.items() if value is not None})
    opened, ready = zip(*(sources.open_path(path, files) for path in options.data), strict=True)
    if len(set(ready)) > 1:
        raise ValueError(
            "--data takes either RGB-D scenes or ready-made pairs of image and map; received both"
        )
    if options.held_out:
        opened = [sources.split_held_out(source)[1] for source in opened]
    source = concat(opened)
    if any(ready):
        return _chosen(source, options), f"{_described(options)} (ready-made)"
    return _rendered(source, _described(options), options)


def _rendered(source, described: str, options: SampleOptions):
    from dmenet_tf.evaluation import samples

    source, seed = _chosen(source, options), _seed(options)
    count, sampler = options.count or len(source), options.sampler or "paper"
    rendered = samples.RenderedScenes(source, seed, count, sampler)
    return rendered, f"{described}, rendered with seed {seed}, sampler {sampler}"


def _chosen(source, options: SampleOptions):
    from dmenet_tf.evaluation import samples

    return samples.chosen(source, options.names) if options.names else source


def _seed(options: SampleOptions) -> int:
    return SEED if options.seed is None else options.seed


def _described(options: SampleOptions) -> str:
    named = [options.names] if options.names else []
    return ", ".join([*map(str, options.data), *named])

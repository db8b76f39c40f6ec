"""Command-line options shared by the programs that write datasets, and the source they select.

Code that reads files or renders is imported only when a source is opened, so --help is fast.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import tyro

from data_gen.generation.parameters import DatasetParameters
from data_gen.sources.layout_names import SEGMENTS, Layout

PROCEDURAL = "procedural"
PROCEDURAL_SIDE = 480


@dataclass(frozen=True)
class SourceOptions:
    """Where the RGB-D scenes come from."""

    source: tuple[str, ...] = ()
    """A layout (sintel, synthia, middlebury, hypersim, diode, tum, syndof-input, folder, segments,
    auto) of the folders in --root; or, without --root, the folders themselves. Default: built-in
    procedural scenes."""
    root: tuple[str, ...] = ()
    """One or more RGB-D folders."""
    source_layout: Layout = "auto"
    """Layout of the folders, if --source names folders."""
    depth: Literal["auto", "metric", "inverse"] = "auto"
    """Meaning of plain depth files: larger = farther (metric) or larger = nearer (inverse)."""
    far: float | None = None
    """Far plane, in the unit of the depth files: sky is placed there."""
    bgr_scenes: tuple[str, ...] = ()
    """Patterns of scene names whose images have red and blue swapped, e.g. 'nyu_*'."""
    resize_depth: Literal["nearest"] | None = None
    """Resize depth whose size differs from the image's by a whole ratio (half, a third, twice)."""
    distinct: int | None = None
    """Keep only scenes whose perceptual hashes differ by more than this many of 256 bits."""

    def roots_and_layout(self) -> tuple[tuple[str, ...], str]:
        """The folders (none: procedural scenes) and their layout; ValueError on a conflict."""
        known = get_args(Layout)
        if self.root:
            if len(self.source) > 1 or (self.source and self.source[0] not in known):
                raise ValueError(
                    f"with --root, --source must be one of {', '.join(known)}; received "
                    f"{' '.join(self.source)}"
                )
            return self.root, self.source[0] if self.source else self.source_layout
        if self.source in ((), (PROCEDURAL,)):
            return (), "auto"
        for name in self.source:
            if name in known and not Path(name).is_dir():
                raise ValueError(
                    f"--source with the name of a layout must come with --root and its folders; "
                    f"received --source {name} alone"
                )
        return self.source, self.source_layout


def open_source(
    options: SourceOptions,
    dataset: DatasetParameters,
    report=None,
    progress=iter,
    localise=str,
    note=lambda line: None,
):
    """Opens the source: (source, description of its origin, further parameters).

    Args:
        report: folder for the report on the selection of distinct scenes, or None.
        progress: wraps the iterable of that selection, as tqdm does.
        localise: turns a remote root into a local folder.
        note: takes a line about a folder that is read all the same, as one that looks inverse.
    Raises ValueError (conflicting options), `DataFileError` (folders without scenes).
    """
    from data_gen import pipeline
    from data_gen.sources import rgbd
    from data_gen.sources.base import concat

    roots, layout = options.roots_and_layout()
    if roots:
        open_root = _open_segments if layout == SEGMENTS else rgbd.open_source
        how = options.depth, options.bgr_scenes, options.far, options.resize_depth
        opened = [open_root(localise(root), layout, *how) for root in roots]
        for one in opened:
            if line := getattr(one, "note", str)():
                note(line)
        source, origin = concat(opened), ", ".join(roots)
    else:
        side = max(PROCEDURAL_SIDE, dataset.crop)
        source = pipeline.ProceduralScenes(dataset.seed, dataset.count, side, side)
        origin = PROCEDURAL
    more = {}
    if roots:
        # Reading the same files differently yields different images.
        more = {
            "source_layout": layout,
            "depth": options.depth,
            "far": options.far,
            "bgr_scenes": list(options.bgr_scenes),
        }
        if (
            options.resize_depth is not None
        ):  # data sets begun before there was the option have none
            more["resize_depth"] = options.resize_depth
    if options.distinct is not None:
        from data_gen.curation import dedup

        source = dedup.distinct_source(source, options.distinct, report, progress)
        more["distinct"] = options.distinct
    return source, origin, more


def _open_segments(root, layout, depth, bgr_scenes, far, resize_depth):
    from data_gen.sources import segments

    if depth != "auto" or bgr_scenes or far is not None or resize_depth is not None:
        raise ValueError(
            f"--source {layout} invents depth and takes none of --depth, --far, --bgr-scenes, "
            f"--resize-depth; received {depth}, {far}, {' '.join(bgr_scenes) or 'none'}, "
            f"{resize_depth}"
        )
    return segments.training_scenes(root)


# These groups of options have no prefix on the command line.
Dataset = tyro.conf.OmitArgPrefixes[DatasetParameters]
Scenes = tyro.conf.OmitArgPrefixes[SourceOptions]

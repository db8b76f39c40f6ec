"""Writes a SYNDOF dataset from RGB-D scenes.

python -m data_gen --out syndof --count 200
python -m data_gen --source sintel/ --out syndof --count 8231 --layout folders
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tyro
from tqdm import tqdm

from data_gen import pipeline, sources, writer

PROCEDURAL_SIDE = 480


@dataclass(frozen=True)
class Options:
    """Defocuses all-in-focus RGB-D scenes and writes images with exact defocus maps."""

    out: Path
    """Folder of the dataset; a job that was interrupted continues in it."""
    dataset: tyro.conf.OmitArgPrefixes[writer.DatasetParameters]
    source: tuple[Path, ...] = ()
    """RGB-D folders; none: the embedded procedural scenes."""
    source_layout: Literal["auto", "sintel", "synthia", "middlebury", "syndof-input", "folder"] = (
        "auto"
    )
    """How the RGB-D folders are laid out."""
    depth: Literal["auto", "metric", "inverse"] = "auto"
    """What plain depth files hold: larger = farther (metric) or larger = nearer (inverse)."""
    far: float | None = None
    """Far plane in the depth files' unit: sky is put there."""
    bgr_scenes: tuple[str, ...] = ()
    """Patterns of scene names whose images have red and blue swapped."""


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m data_gen", description=__doc__)
    count = options.dataset.count
    try:
        if options.source:
            opened = [
                sources.open_source(
                    path, options.source_layout, options.depth, options.bgr_scenes, options.far
                )
                for path in options.source
            ]
            source, origin = sources.join(opened), ", ".join(map(str, options.source))
        else:
            side = max(PROCEDURAL_SIDE, options.dataset.crop)
            source = pipeline.ProceduralScenes(options.dataset.seed, count, side, side)
            origin = "procedural"
        writer.write_dataset(source, origin, options.out, options.dataset, progress=tqdm)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    print(f"{count} examples in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes a SYNDOF dataset from RGB-D scenes.

python -m data_gen --out syndof --count 200

python -m data_gen --source sintel --root MPI-Sintel --out syndof --count 8231 --workers 4

python -m data_gen --root scenes more-scenes --out syndof --count 2000 --layout folders

Other commands, each with its own --help:

python -m data_gen inspect DIR: what a folder of images and maps holds, and what is wrong with it

python -m data_gen dedup ...: which scenes look alike

python -m data_gen card DIR: one HTML page about a dataset, with plots and pictures
"""

import functools
import importlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tyro
from tqdm import tqdm

from data_gen.generation import options as shared_options
from data_gen.generation import workers, writer

COMMANDS = {"inspect": "inspection", "dedup": "dedup", "card": "card"}
DISTINCT_REPORT = "distinct"


@dataclass(frozen=True)
class Options:
    """Defocuses all-in-focus RGB-D scenes and writes images with exact defocus maps."""

    out: Path
    """Folder of the dataset; a job that was interrupted continues in it."""
    dataset: shared_options.Dataset
    scenes: shared_options.Scenes = field(default_factory=shared_options.SourceOptions)
    workers: int = 0
    """Processes that make images; 0: as many as there are processors. The bytes do not differ."""

    def __post_init__(self):
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0; received {self.workers}")


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in COMMANDS:
        return importlib.import_module(f"data_gen.curation.{COMMANDS[argv[0]]}").main(argv[1:])
    try:
        options = tyro.cli(Options, args=argv, prog="python -m data_gen", description=__doc__)
        source, origin, more = shared_options.open_source(
            options.scenes,
            options.dataset,
            options.out / DISTINCT_REPORT,
            functools.partial(tqdm, desc="comparing scenes", unit="image"),
        )
        writer.write_dataset(
            source,
            origin,
            options.out,
            options.dataset,
            options.workers or workers.cores(),
            functools.partial(tqdm, unit="image", smoothing=0.05),
            **more,
        )
    except (OSError, ValueError, MemoryError, workers.WorkerDied) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    print(f"{options.dataset.count} examples in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes a SYNDOF dataset from RGB-D scenes.

python -m data_gen --out syndof --count 200

python -m data_gen --source sintel --root MPI-Sintel --out syndof --count 8231 --jobs 4

python -m data_gen --root scenes more-scenes --out syndof --count 2000 --layout folders

Other commands, each with its own --help:

python -m data_gen inspect DIR: what a folder contains and what is wrong with it

python -m data_gen dedup DIR ...: finds scenes that look alike

python -m data_gen card DIR: an HTML page about a dataset, with plots and sample images
"""

import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from data_gen import command_line, environment, exit_codes
from data_gen.curation import entry_points
from data_gen.generation import options as shared_options
from data_gen.progress import progress

COMMANDS = {"inspect": entry_points.inspect, "dedup": entry_points.dedup, "card": entry_points.card}
DISTINCT_REPORT = "distinct"
INTERRUPTED = "interrupted; run the same command again to continue where it stopped"


@dataclass(frozen=True)
class Options:
    """Defocuses all-in-focus RGB-D scenes and writes the images with exact defocus maps."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the dataset; an interrupted run continues in it."""
    dataset: shared_options.Dataset
    scenes: shared_options.Scenes = field(default_factory=shared_options.SourceOptions)
    jobs: int = 0
    """Number of processes; 0: one per core. The output does not depend on it."""

    def __post_init__(self):
        if self.jobs < 0:
            raise ValueError(f"jobs must be at least 0; received {self.jobs}")


def main(argv=None, prog="python -m data_gen") -> int:
    """Command line; returns the exit code. `prog`: what the usage line calls the command."""
    environment.prepare()
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    if argv and not argv[0].startswith("-"):
        return command_line.unknown("command", argv[0], list(COMMANDS), prog)
    options = command_line.parse(Options, argv, prog, __doc__)
    return command_line.run(lambda: _write(options), INTERRUPTED)


def _write(options: Options) -> int:
    with environment.quiet_native_stderr():
        from data_gen.generation import workers, writer
    from data_gen.io import search
    from data_gen.io.parallel import cores

    source, origin, more = shared_options.open_source(
        options.scenes,
        options.dataset,
        options.out / DISTINCT_REPORT,
        functools.partial(progress, desc="comparing scenes", unit="image"),
        note=lambda line: print(f"note: {line}", file=sys.stderr),
    )
    if left_out := search.left_out(options.scenes.roots_and_layout()[0]):
        print(f"note: {left_out}", file=sys.stderr)
    try:
        writer.write_dataset(
            source,
            origin,
            options.out,
            options.dataset,
            options.jobs or cores(),
            functools.partial(progress, unit="image", smoothing=0.05),
            **more,
        )
    except workers.WorkerDied as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.FAILED
    print(f"{options.dataset.count} examples in {options.out}")
    return exit_codes.OK


if __name__ == "__main__":
    sys.exit(main())

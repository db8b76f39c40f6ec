"""Evaluates trained models and baselines under a named protocol.

    dmenet evaluate --protocol cuhk --data CUHK --names 0505-0704 --weights runs/paper

Parses, builds, calls. Writes a table to the console and, into OUT, report.html, summary.csv,
images.csv and cache/ (predictions: an interrupted evaluation goes on where it stopped).
TensorFlow is imported only after the options have been checked.
"""

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import get_args

from data_gen.exit_codes import INTERRUPTED, OK
from data_gen.optics import EncodingOrAuto
from dmenet_tf import environment
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.console import Parser, UsageError, note, run
from dmenet_tf.evaluation.opening import SEED, SampleOptions
from dmenet_tf.evaluation.protocols import PROTOCOLS
from dmenet_tf.evaluation.specification import Protocol
from dmenet_tf.weights.shipped import named

LARGE_REPORT_BYTES = 20e6

EPILOG = """example, the ablation table of the paper:
  dmenet evaluate --protocol cuhk --data CUHK --names 0505-0704 \\
      --weights runs/B runs/BD runs/BDC runs/BDCS -o evaluation/ablation"""


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    environment.prepare()
    argv = sys.argv[1:] if argv is None else argv
    return run(lambda: _checked(argv))


def _checked(argv) -> int:
    options = build_parser().parse_args(argv)
    options.out = options.out or Path("evaluation", options.protocol)
    check(options)
    try:
        evaluate(options, shlex.join(["dmenet", "evaluate", *argv]))
    except KeyboardInterrupt:
        cache = options.out / "cache"
        print(f"\ninterrupted; the same command continues from {cache}", file=sys.stderr)
        return INTERRUPTED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """The command's options; imports no TensorFlow."""
    parser = Parser(
        prog="dmenet evaluate",
        usage="%(prog)s --protocol P --data PATH ... --weights RUN ... [options]",
        description="Compares predicted maps with true ones: tables, curves and a report.",
        epilog=EPILOG,
        renamed={"--examples": "--count"},
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=38
        ),
    )
    add = parser.add_argument
    add("--protocol", required=True, choices=PROTOCOLS, metavar="P", help=" | ".join(PROTOCOLS))
    add("--data", nargs="+", default=[], type=Path, metavar="PATH",
        help="folders; syndof without any: embedded scenes")  # fmt: skip
    add("--weights", nargs="+", default=[], type=named, metavar="RUN",
        help="runs' folders or .npz, shipped, large; none: baselines only")  # fmt: skip
    add("--titles", nargs="+", metavar="TEXT", help="names of the weights in the tables")
    add("-o", "--out", type=Path, metavar="DIR", help="default: evaluation/PROTOCOL")
    add("--names", metavar="RANGE|FILE", help="only these samples: 0505-0704, or a file of names")
    add("--max-side", nargs="+", type=int, metavar="PX",
        help="reduce larger photos to PX for the network; 0: full size; "
        "several: a row of each (default: what the model recommends)")  # fmt: skip
    add("--pictures", nargs=2, type=int, default=[12, 4], metavar=("WORST", "BEST"),
        help="how many the report shows (12 4)")  # fmt: skip
    add("--tile", type=int, metavar="PX", help="side of the tiles of large photos; 0: none")
    add = parser.add_argument_group("cuhk, dbd").add_argument
    add(
        "--polarity",
        choices=("blurred", "sharp"),
        help="what 255, or the larger of a mask's two values, means (blurred)",
    )
    add("--map", choices=("as-is", "stretched"),
        help="the map as it is (cuhk) or stretched to 0..1 (dbd)")  # fmt: skip
    add("--alpha", type=float, help="cuhk's tau = ALPHA max + (1 - ALPHA) min (0.3)")
    add = parser.add_argument_group("rtf").add_argument
    add("--radius-table", type=Path, metavar="CSV",
        help="disc radius to sigma; without it sigma = radius/2")  # fmt: skip
    add = parser.add_argument_group("syndof, segments").add_argument
    add("--count", type=int, metavar="N", help="number of renderings (one of each scene)")
    add("--seed", type=int, help=f"of scenes and lenses ({SEED})")
    add("--sampler", choices=("paper", "generator"), help="how lenses are drawn (paper)")
    add("--held-out", action="store_const", const=True,
        help="only what training holds out of each folder")  # fmt: skip
    add("--encoding", choices=get_args(EncodingOrAuto), help="of ready maps")
    add("--depth", choices=("auto", "metric", "inverse"), help="what plain depth files hold")
    add("--resize-depth", choices=("nearest",), help="where it is half, or a whole ratio, of RGB's")
    add("--bgr-scenes", nargs="+", metavar="GLOB", help="scenes with red and blue swapped")
    return parser


def check(options) -> None:
    """Raises `UsageError` or OSError for what can be refused without opening anything."""
    protocol = PROTOCOLS[options.protocol]
    _check_belonging(options, protocol)
    if not options.data and options.protocol != "syndof":
        raise UsageError(f"--protocol {options.protocol} needs --data; received none")
    table = [options.radius_table] if options.radius_table else []
    for path in (*options.data, *options.weights, *table):
        if not path.exists():
            raise FileNotFoundError(f"a path must exist; received {path}")
    if options.titles and len(options.titles) != len(options.weights):
        raise UsageError(
            f"--titles needs one for each of {len(options.weights)} weights; "
            f"received {len(options.titles)}"
        )
    if len({path.resolve() for path in options.weights}) < len(options.weights):
        raise UsageError("--weights must all be different; received one of them twice")
    if options.max_side and len(set(options.max_side)) < len(options.max_side):
        raise UsageError("--max-side must be all different; received one of them twice")
    for side in options.max_side or ():
        if 0 != side < SIZE_MULTIPLE:
            raise UsageError(f"--max-side must be 0 or at least {SIZE_MULTIPLE}; received {side}")
    if options.alpha is not None and not 0 <= options.alpha <= 1:
        raise UsageError(f"--alpha must lie in [0, 1]; received {options.alpha}")
    if options.count is not None and options.count < 1:
        raise UsageError(f"--count must be above 0; received {options.count}")
    if options.seed is not None and options.seed < 0:
        raise UsageError(f"--seed must not be negative; received {options.seed}")
    if min(options.pictures) < 0:
        raise UsageError(f"--pictures must not be negative; received {options.pictures}")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out must be a folder; received the file {options.out}")


# `variant` settings of a protocol -> the options that give them.
SETTINGS = {"alpha": "alpha", "stretch": "map"}
FOR_ALL = ("data", "names")


def _check_belonging(options, protocol: Protocol) -> None:
    """An option that another protocol alone knows is a mistake; defaults are None, so a use
    shows."""

    def known(by: Protocol):
        return {*by.options, *(SETTINGS[name] for name in by.settings)}

    own = {field.name for field in dataclasses.fields(SampleOptions)} - set(FOR_ALL)
    for name in sorted(own | set(SETTINGS.values())):
        if getattr(options, name) is not None and name not in known(protocol):
            belongs = [other.name for other in PROTOCOLS.values() if name in known(other)]
            raise UsageError(
                f"--{name.replace('_', '-')} belongs to {', '.join(belongs)}; "
                f"received it with --protocol {protocol.name}"
            )


def evaluate(options, command: str) -> list:
    """Runs the evaluation that the options describe; returns its rows."""
    from dmenet_tf.evaluation import report, runner

    protocol = make_protocol(options)
    source, described = protocol.samples(sample_options(options))
    samples = runner.Samples(source, protocol)
    if samples.note:
        note(samples.note)
    cache = options.out / "cache"
    rows = [
        runner.run_row(title, predictor, samples, protocol, cache, max_side)
        for title, predictor, max_side in _predictors(options)
    ]
    rows += runner.baseline_rows(samples, protocol)
    images = "1 image" if len(samples) == 1 else f"{len(samples)} images"
    print(f"\n{protocol.name}: {images} of {described}\n")
    print(report.console_table(protocol, rows))
    report.write_csv(options.out, protocol, samples, rows)
    path = options.out / "report.html"
    report.write_html(path, protocol, samples, rows, described, command, *options.pictures)
    print(f"\n{path} ({path.stat().st_size / 1e6:.1f} MB), summary.csv, images.csv")
    if path.stat().st_size > LARGE_REPORT_BYTES:
        print("for a smaller report, ask for fewer --pictures")
    return rows


def make_protocol(options) -> Protocol:
    """The protocol, with the settings that were given."""
    protocol = PROTOCOLS[options.protocol]
    stretch = None if options.map is None else options.map == "stretched"
    given = {"alpha": options.alpha, "stretch": stretch}
    given = {name: value for name, value in given.items() if value is not None}
    return protocol.variant(**given) if given else protocol


def sample_options(options) -> SampleOptions:
    """What of the options is about the samples."""
    names = [field.name for field in dataclasses.fields(SampleOptions)]
    given = {name: getattr(options, name) for name in names}
    return SampleOptions(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def _predictors(options) -> list:
    """(row title, predictor, max side) of all weights at all sizes."""
    from dmenet_tf.prediction.local import Predictor

    tile = {} if options.tile is None else {"tile": options.tile}
    sides = options.max_side or [None]
    rows = []
    for title, path in zip(row_titles(options), options.weights, strict=True):
        predictor = Predictor(path, **tile)
        for side in sides:
            at = f", {f'{side} px' if side else 'full size'}" if len(sides) > 1 else ""
            rows.append((title + at, predictor, side))
    return rows


def row_titles(options) -> list[str]:
    """The titles given, or folder names with the parts that were trained; all different."""
    titles = options.titles or [_title(path) for path in options.weights]
    again = {title for title in titles if titles.count(title) > 1}
    return [
        f"{title} ({path})" if title in again else title
        for title, path in zip(titles, options.weights, strict=True)
    ]


def _title(path: Path) -> str:
    from dmenet_tf import config_file as configuration

    name = path.resolve().name
    if not (path / configuration.FILE).is_file():
        return name
    return f"{name} ({configuration.load(path / configuration.FILE).network.parts})"


if __name__ == "__main__":
    sys.exit(main())

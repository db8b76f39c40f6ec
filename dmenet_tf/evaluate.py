"""Evaluates trained models and baselines under a named protocol.

    python -m dmenet_tf.evaluate --protocol cuhk --data CUHK --names 0505-0704 --weights runs/paper

Parses, builds, calls. Writes a table to the console and, into OUT, report.html, summary.csv,
images.csv and cache/ (predictions: an interrupted evaluation goes on where it stopped).
TensorFlow is imported only after the command line has been found sound.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # nearly twice as fast (folding.py)

DETECTION, RENDERED = ("cuhk", "dbd"), ("syndof", "segments")
PROTOCOLS = (*DETECTION, "rtf", *RENDERED)
# Options that some protocols alone know; their default is None, so that a use is noticed.
BELONGS_TO = {
    "polarity": DETECTION,
    "alpha": ("cuhk",),
    "map": DETECTION,
    "radius_table": ("rtf",),
    "examples": RENDERED,
    "seed": RENDERED,
    "sampler": RENDERED,
    "encoding": ("syndof",),
    "depth": ("syndof",),
    "bgr_scenes": ("syndof",),
    "held_out": ("syndof",),
}
# Far from the small seeds that trainings and their validations use.
SEED = 1000
PROCEDURAL_SCENES, PROCEDURAL_SIDE_PX = 64, 256
EXIT_INTERRUPTED = 130  # what a shell reports for Ctrl-C
LARGE_REPORT_BYTES = 20e6

EPILOG = """example, the ablation table of the paper:
  python -m dmenet_tf.evaluate --protocol cuhk --data CUHK --names 0505-0704 \\
      --weights runs/B runs/BD runs/BDC runs/BDCS --out evaluation/ablation"""


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    options = parse(sys.argv[1:] if argv is None else argv)
    try:
        check(options)
        evaluate(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command goes on with what is kept in {options.out}/cache")
        return EXIT_INTERRUPTED
    return 0


def parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dmenet_tf.evaluate",
        usage="%(prog)s --protocol P --data PATH ... --weights RUN ... [options]",
        description="Compares predicted maps with true ones: tables, curves and a report.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=38
        ),
    )
    add = parser.add_argument
    add("--protocol", required=True, choices=PROTOCOLS, metavar="P", help=" | ".join(PROTOCOLS))
    add("--data", nargs="+", default=[], type=Path, metavar="PATH",
        help="folders; syndof without any: embedded scenes")  # fmt: skip
    add("--weights", nargs="+", default=[], type=Path, metavar="RUN",
        help="runs' folders or .npz; none: baselines only")  # fmt: skip
    add("--titles", nargs="+", metavar="TEXT", help="what the tables call the weights")
    add("--out", type=Path, metavar="DIR", help="default: evaluation/PROTOCOL")
    add("--names", metavar="RANGE|FILE", help="only these samples: 0505-0704, or a file of names")
    add("--pictures", nargs=2, type=int, default=[12, 4], metavar=("WORST", "BEST"),
        help="how many the report shows (12 4)")  # fmt: skip
    add("--tile", type=int, metavar="PX", help="side of the tiles of large photos; 0: none")
    add = parser.add_argument_group("cuhk, dbd").add_argument
    add("--polarity", choices=("blurred", "sharp"), help="what 255 means in masks (blurred)")
    add("--map", choices=("as-is", "stretched"),
        help="the map as it is (cuhk) or stretched to 0..1 (dbd)")  # fmt: skip
    add("--alpha", type=float, help="cuhk's tau = ALPHA max + (1 - ALPHA) min (0.3)")
    add = parser.add_argument_group("rtf").add_argument
    add("--radius-table", type=Path, metavar="CSV",
        help="disc radius to sigma; without it sigma = radius/2")  # fmt: skip
    add = parser.add_argument_group("syndof, segments").add_argument
    add("--examples", type=int, metavar="N", help="renderings (one of each scene)")
    add("--seed", type=int, help=f"of scenes and lenses ({SEED})")
    add("--sampler", choices=("paper", "generator"), help="of the lenses (paper)")
    add("--held-out", action="store_const", const=True,
        help="only what training holds out of each folder")  # fmt: skip
    add("--encoding", choices=("auto", "paper", "generator", "released"), help="of ready maps")
    add("--depth", choices=("auto", "metric", "inverse"), help="what plain depth files hold")
    add("--bgr-scenes", nargs="+", metavar="GLOB", help="scenes with red and blue swapped")
    options = parser.parse_args(argv)
    options.out = options.out or Path("evaluation", options.protocol)
    options.command = shlex.join(["python", "-m", "dmenet_tf.evaluate", *argv])
    return options


def check(options) -> None:
    """Refuses what can be refused without opening anything."""
    for name, protocols in BELONGS_TO.items():
        if getattr(options, name) is not None and options.protocol not in protocols:
            raise ValueError(
                f"--{name.replace('_', '-')} belongs to {', '.join(protocols)}; "
                f"received it with --protocol {options.protocol}"
            )
    if not options.data and options.protocol != "syndof":
        raise ValueError(f"--protocol {options.protocol} needs --data; received none")
    table = [options.radius_table] if options.radius_table else []
    for path in (*options.data, *options.weights, *table):
        if not path.exists():
            raise FileNotFoundError(f"a path must exist; received {path}")
    if options.titles and len(options.titles) != len(options.weights):
        raise ValueError(
            f"--titles needs one for each of {len(options.weights)} weights; "
            f"received {len(options.titles)}"
        )
    if len({path.resolve() for path in options.weights}) < len(options.weights):
        raise ValueError("--weights must all be different; received one of them twice")
    if options.alpha is not None and not 0 <= options.alpha <= 1:
        raise ValueError(f"--alpha must lie in [0, 1]; received {options.alpha}")
    if options.examples is not None and options.examples < 1:
        raise ValueError(f"--examples must be above 0; received {options.examples}")
    if min(options.pictures) < 0:
        raise ValueError(f"--pictures must not be negative; received {options.pictures}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out must be a folder; received the file {options.out}")


def evaluate(options) -> list:
    """Runs the evaluation that the options describe; returns its rows."""
    from dmenet_tf.evaluation import report
    from dmenet_tf.evaluation import runner as evaluation
    from dmenet_tf.prediction.local import Predictor

    protocol = make_protocol(options)
    source, described = open_samples(options)
    tile = {} if options.tile is None else {"tile": options.tile}
    predictors = [Predictor(path, **tile) for path in options.weights]
    samples = evaluation.Samples(source, protocol)
    cache = options.out / "cache"
    rows = [
        evaluation.run_row(title, predictor, samples, protocol, cache)
        for title, predictor in zip(row_titles(options), predictors, strict=True)
    ]
    rows += evaluation.baseline_rows(samples, protocol)
    images = "1 image" if len(samples) == 1 else f"{len(samples)} images"
    print(f"\n{options.protocol}: {images} of {described}\n")
    print(report.console_table(protocol, rows))
    report.write_csv(options.out, protocol, samples, rows)
    path = options.out / "report.html"
    report.write_html(path, protocol, samples, rows, described, options.command, *options.pictures)
    print(f"\n{path} ({path.stat().st_size / 1e6:.1f} MB), summary.csv, images.csv")
    if path.stat().st_size > LARGE_REPORT_BYTES:
        print("a smaller report: fewer --pictures")
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
    from dmenet_tf import config as configuration
    from dmenet_tf.training.checkpoints import CONFIG_FILE

    name = path.resolve().name
    if not (path / CONFIG_FILE).is_file():
        return name
    return f"{name} ({configuration.load(path / CONFIG_FILE).network.parts})"


def make_protocol(options):
    from dmenet_tf.evaluation.protocols import BlurDetection, Regression

    if options.protocol not in DETECTION:
        return Regression(options.protocol)
    stretch = None if options.map is None else options.map == "stretched"
    alpha = 0.3 if options.alpha is None else options.alpha
    return BlurDetection(options.protocol, alpha, stretch)


def open_samples(options):
    """(samples, a description of them) of a protocol's data."""
    from data_gen.sources import rgbd as sources
    from dmenet_tf.data.photos import LabelledPhotos
    from dmenet_tf.evaluation import samples as sets

    described = ", ".join(str(path) for path in options.data)
    described += f", {options.names}" if options.names else ""
    if options.protocol in DETECTION:
        polarity = options.polarity or "blurred"
        opened = [LabelledPhotos(path, polarity, options.names) for path in options.data]
        return sources.join(opened), f"{described}; 255 = {polarity}"
    if options.protocol in RENDERED:
        return _open_rendered(options, described)
    to_sigma, by = sets.disc_sigma_px, "sigma = radius/2, not a published table"
    if options.radius_table:
        to_sigma = sets.read_radius_table(options.radius_table)
        by = f"nearest radius in {options.radius_table.name}"
    opened = sources.join([sets.RtfPhotos(path, to_sigma) for path in options.data])
    return (sets.Chosen(opened, options.names) if options.names else opened), f"{described}; {by}"


def _open_rendered(options, described):
    from data_gen import pipeline
    from data_gen.sources import rgbd as sources
    from dmenet_tf.config import DataConfig
    from dmenet_tf.data import streams as datasets
    from dmenet_tf.evaluation import samples as sets

    seed, ready = SEED if options.seed is None else options.seed, {False}
    if options.protocol == "segments":
        opened = [sets.SegmentScenes(path, seed) for path in options.data]
    elif options.data:
        config = DataConfig(
            encoding=options.encoding or "auto",
            depth=options.depth or "auto",
            bgr_scenes=tuple(options.bgr_scenes or ()),
        )
        opened, ready = zip(*(datasets.open_path(p, config) for p in options.data), strict=True)
        if options.held_out:
            opened = [datasets.split_held_out(source)[1] for source in opened]
    else:
        count, side = options.examples or PROCEDURAL_SCENES, PROCEDURAL_SIDE_PX
        opened = [pipeline.ProceduralScenes(seed, count, side, side)]
        described = "embedded procedural scenes"
    if len(set(ready)) > 1:
        raise ValueError(
            "--data holds either RGB-D scenes or ready-made pairs of image and map; received both"
        )
    source = sources.join(opened)
    if options.names:
        source = sets.Chosen(source, options.names)
    if any(ready):
        return source, f"{described} (ready-made)"
    count, sampler = options.examples or len(source), options.sampler or "paper"
    rendered = sets.RenderedScenes(source, seed, count, sampler)
    return rendered, f"{described}, rendered with seed {seed}, sampler {sampler}"


if __name__ == "__main__":
    sys.exit(main())

"""Maps of photos.

    dmenet predict photos/ -o maps --weights runs/demo

Parses, finds the photos, and opens what predicts them: a network here, or a server (`--server`),
for which nothing of TensorFlow is imported. `prediction/folders.py` does the rest.
"""

import argparse
import signal
import sys
from pathlib import Path

from data_gen import interrupts
from data_gen.io.photos import MAX_PIXELS
from dmenet_tf.architecture import INFERENCE_PRECISIONS
from dmenet_tf.console import Parser, UsageError, run
from dmenet_tf.environment import prepare
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.sharpness import SHARP_BELOW_PX
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.weights.shipped import existing, shipped_weights

# TensorFlow takes seconds to import: `--help` and wrong options must not wait for it. Modules that
# need it are imported where they are used.

SERVER_JOBS, MAX_JOBS = 4, 64
EPILOG = """\
formats (--write a,b,...; default colour); sigma is the blur's Gaussian deviation in pixels:
  colour   NAME.colour.png    the map in colours, black = sharpest .. bright yellow, with a scale
  png16    NAME.sigma16.png   16 bit, 65535 = the largest sigma that the network knows
  tiff     NAME.sigma.tiff    float32, sigma in pixels
  npy      NAME.sigma.npy     float32, sigma in pixels
  overlay  NAME.overlay.png   the grey photo, tinted with the colours
  side     NAME.side.png      photo, colours and scale side by side
  Each carries model, units and scale, as does NAME.json, which also has the share of sharp area,
  the median sigma and the sharpest tenth's; OUT/summary.csv and summary.json: a row per photo.

exit code: 0 all done, 1 failed (a line says why), 2 wrong options, 3 photos were skipped or left
  out (it says which), 130 interrupted. The same command continues and keeps the maps it finds.

example:
  dmenet predict photos/ "more/*.tif" -o maps --weights runs/demo --write colour,npy
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="dmenet predict",
        usage="%(prog)s INPUT... [-o DIR] [--weights PATH | --server HOST:PORT] [options]",
        description="Writes the defocus map of every photo.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, width=100, max_help_position=26
        ),
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="file, folder, quoted pattern, or - for stdin")
    add("-o", "--out", type=Path, default=Path("maps"), metavar="DIR",
        help="folder of the maps (default: maps); mirrors INPUT's folders")  # fmt: skip
    made_by = parser.add_mutually_exclusive_group()
    made_by.add_argument(
        "--weights",
        metavar="PATH",
        help="a run's folder, an .npz, or small: a smaller model of the package",
    )
    made_by.add_argument("--server", metavar="HOST:PORT", help="or a server of the model")
    add("--write", type=_formats, action="extend", metavar="FORMATS", help="see below")
    add("--tile", type=_tile, default="auto", help="side in px, 0 = whole, or auto (default)")
    add("--precision", choices=INFERENCE_PRECISIONS, default="float32", metavar="TYPE",
        help="float32 (default), or for hardware that has it float16 or bfloat16")  # fmt: skip
    add("--max-side", type=int, metavar="N",
        help="reduce larger photos to N px; 0 = never (default: the model's advice)")  # fmt: skip
    add("--sharp-below", type=float, default=SHARP_BELOW_PX, metavar="PX",
        help="sigma that counts as sharp, in pixels that the network sees (default 1)")  # fmt: skip
    add("--colour-range", type=_colour_range, default="auto", metavar="PX",
        help="sigma at the bright end, from 0; auto (default): each map's own range")  # fmt: skip
    add("--max-pixels", type=float, default=MAX_PIXELS / 1e6, metavar="M",
        help="refuse photos above M million pixels (default %(default)g)")  # fmt: skip
    add("--overwrite", action="store_true", help="write again what is already there")
    group, dests = parser.add_argument_group("with --server"), []

    def add_to_group(*names, **settings):
        dests.append(group.add_argument(*names, **settings).dest)

    add_to_group("--jobs", type=int, metavar="N", help=f"photos at a time (default {SERVER_JOBS})")
    parser.renamed = backends.add_server_options(add_to_group)
    parser.set_defaults(server_options=tuple(dests))
    return parser


def _formats(text: str) -> list[str]:
    formats = text.split(",")
    unknown = [name for name in formats if name not in SUFFIXES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(SUFFIXES)}; received {unknown[0]!r}"
        )
    return formats


def _colour_range(text: str) -> str:
    """As given, where it is one; the modules that draw wait until there is something to draw."""
    if text != "auto":
        from dmenet_tf.prediction.map_files import colour_range

        try:
            colour_range(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _tile(text: str) -> str | int:
    return text if text == "auto" else int(text)


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    prepare()
    signal.signal(signal.SIGTERM, interrupts.interrupt)  # a stop of any kind is orderly
    return run(
        lambda: predict(build_parser().parse_args(argv)),
        "interrupted; the same command continues",
        (ImportError,),
    )


def predict(options) -> int:
    """Writes the maps of `options` (see `build_parser`) and returns the exit code."""
    _check(options)
    from dmenet_tf.prediction import summaries
    from dmenet_tf.prediction.folders import ReadAhead
    from dmenet_tf.prediction.inputs import find_photos

    photos, left_out = find_photos(options.inputs, options.out, summaries.is_output)
    with ReadAhead(int(options.max_pixels * 1e6)) as reader:
        if not options.server and _is_new(photos[0], options):
            reader.start(photos[:1])  # while TensorFlow is imported and the weights are read
        return _write(options, photos, left_out, reader)


def _write(options, photos, left_out, reader) -> int:
    from dmenet_tf.prediction.estimator import Estimator
    from dmenet_tf.prediction.folders import Folder
    from dmenet_tf.prediction.predictor import Predictor

    with Estimator(Predictor(_open(options), tile=options.tile)) as estimator:
        model = estimator.metadata
        if model.licence:
            print(f"note: {model.licence}", file=sys.stderr)
        print(describe_size(options.max_side, model), flush=True)
        return Folder(options, estimator, reader, _jobs(options)).write(photos, left_out)


def _open(options):
    if not options.server:
        return backends.open_local(options.weights, options.precision)
    from tqdm import tqdm

    if options.precision != INFERENCE_PRECISIONS[0]:
        raise UsageError(
            "--precision is of the network here, a server has its own (dmenet export --precision); "
            f"received {options.precision} with --server"
        )
    try:
        return backends.open_server(
            options.server, options, lambda line: tqdm.write(line, file=sys.stderr)
        )
    except ValueError as error:  # of the address or of an option
        raise UsageError(str(error)) from error


def _is_new(photo, options) -> bool:
    """Whether a photo will be read: where it has no summary, whatever made its maps."""
    from dmenet_tf.prediction.summaries import SUMMARY_SUFFIX, output_path

    return options.overwrite or not output_path(options.out, photo.name, SUMMARY_SUFFIX).exists()


def _jobs(options) -> int:
    if not options.server:
        return 1
    return SERVER_JOBS if options.jobs is None else options.jobs


def describe_size(max_side: int | None, model) -> str:
    """At which size photos are mapped, and who chose it; model: `Metadata`."""
    from dmenet_tf.prediction.predictor import resolved_side

    side = resolved_side(max_side, model)
    if side is None:
        return "photos are mapped at full size"
    chosen = "--max-side" if max_side else "recommended for this model; --max-side 0: full size"
    return f"photos above {side} px are reduced to {side} px for the network ({chosen})"


def _check(options) -> None:
    """Raises `UsageError` for values of options that cannot be, before anything is opened."""
    from dmenet_tf.prediction.predictor import check_max_side, check_tile

    for name in ("max_pixels", "sharp_below"):
        value = getattr(options, name)
        if not 0 < value < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} must be above 0; received {value:g}")
    try:
        check_tile(options.tile)
        check_max_side(options.max_side)
        if not options.server and not options.weights:
            shipped_weights()
    except FileNotFoundError as error:
        raise UsageError(f"--weights or --server must be given: {error}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    if options.server:
        if options.jobs is not None and not 1 <= options.jobs <= MAX_JOBS:
            raise UsageError(f"--jobs must lie in 1 .. {MAX_JOBS}; received {options.jobs}")
        return
    for name in options.server_options:
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} goes with --server, not with --weights")
    if options.weights:
        existing(options.weights)


if __name__ == "__main__":
    sys.exit(main())

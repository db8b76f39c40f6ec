"""Maps of photos.

    python -m dmenet_tf.predict photos/ -o maps --weights runs/demo

Parses, finds the photos, and opens what predicts them: a network here, or a server (`--server`),
for which nothing of TensorFlow is imported. `predict_folder.py` does the rest.
"""

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # nearly twice as fast (folding.py)

from tqdm import tqdm

from data_gen.io.photos import MAX_PIXELS
from dmenet_tf.console import Parser, quiet_native_stderr
from dmenet_tf.prediction import summaries
from dmenet_tf.prediction.inputs import find_photos
from dmenet_tf.prediction.summaries import SUFFIXES

# TensorFlow takes seconds to import: `--help` and wrong options must not wait for it. Modules that
# need it are imported where they are used.

EXIT_UNREADABLE, EXIT_INTERRUPTED = 3, 130
SERVER_JOBS, MAX_JOBS = 4, 64
FIRST_ANSWER_S = 15.0  # for which a server is tried before any photo is
# Options of a server -> fields of `serving.client.ClientOptions`, which has their defaults.
SERVER_FIELDS = {
    "timeout": "timeout_s",
    "retry": "retry_s",
    "model_version": "version",
    "model_label": "label",
    "tls_ca": "tls_ca",
    "tls_cert": "tls_certificate",
    "tls_key": "tls_key",
}
EPILOG = """\
forms (--write a,b,...; default colour); sigma is the blur's Gaussian deviation in pixels:
  colour   NAME.colour.png    black = sharp .. bright yellow = the largest sigma, 7 px
  png16    NAME.sigma16.png   16 bit, 65535 = the largest sigma
  tiff     NAME.sigma.tiff    float32, sigma in pixels
  npy      NAME.sigma.npy     float32, sigma in pixels
  overlay  NAME.overlay.png   the grey photo, tinted with the colours
  side     NAME.side.png      photo, colours and scale side by side
  Each carries model, units and scale, as does NAME.json, which also has the share of sharp area,
  the median sigma and the sharpest tenth's; OUT/summary.csv and summary.json: a row per photo.

exit code: 0 all done, 1 nothing could be done (one line says why), 3 some photos were unreadable
  (the rest is done), 130 interrupted. The same command continues: maps that stand are kept.

example:
  python -m dmenet_tf.predict photos/ "more/*.tif" -o maps --weights runs/demo --write colour,npy
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m dmenet_tf.predict",
        usage="%(prog)s INPUT... -o OUT (--weights PATH | --server HOST:PORT) [options]",
        description="Writes the defocus map of every photo.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="file, folder, quoted pattern, or - for stdin")
    add("-o", "--out", type=Path, required=True, help="folder of the maps; mirrors INPUT's folders")
    made_by = parser.add_mutually_exclusive_group(required=True)
    made_by.add_argument("--weights", metavar="PATH", help="a run's folder, or DMENet_BDCS.npz")
    made_by.add_argument("--server", metavar="HOST:PORT", help="or a server of the model")
    add("--write", type=_forms, action="extend", metavar="FORMS", help="see below")
    add("--tile", type=_tile, default="auto", help="side in px, 0 = whole, or auto (default)")
    add("--max-side", type=int, metavar="N", help="reduce larger photos to N px, for speed")
    add(
        "--sharp-below",
        type=float,
        default=1.0,
        metavar="PX",
        help="sigma that counts as sharp, in pixels that the network sees (default 1)",
    )
    add("--max-pixels", type=float, default=MAX_PIXELS / 1e6, metavar="M",
        help="refuse photos above M million pixels (default %(default)g)")  # fmt: skip
    add("--overwrite", action="store_true", help="write again what is already there")
    _add_server_options(parser.add_argument_group("with --server").add_argument)
    return parser


def _add_server_options(add) -> None:
    add("--jobs", type=int, metavar="N", help="photos at a time (default 4)")
    add("--exact", action="store_true", help="floats both ways; else sigma to half of 7/65535 px")
    add("--timeout", type=float, metavar="S", help="seconds for an answer (default 300)")
    add("--retry", type=float, metavar="S", help="seconds to try while UNAVAILABLE (default 120)")
    add("--model-version", type=int, metavar="N", help="default: the server's newest")
    add("--model-label", metavar="LABEL", help="or the version that has this label")
    add("--tls-ca", metavar="PEM", help="authorities that sign the server's certificate; uses TLS")
    add("--tls-cert", metavar="PEM", help="certificate of this client, and")
    add("--tls-key", metavar="PEM", help="its key")


def _forms(text: str) -> list[str]:
    forms = text.split(",")
    unknown = [form for form in forms if form not in SUFFIXES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"must be of {', '.join(SUFFIXES)}; received {unknown[0]!r}"
        )
    return forms


def _tile(text: str) -> str | int:
    return text if text == "auto" else int(text)


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop of any kind is orderly
    try:
        options = build_parser().parse_args(argv)
        return predict(options)
    except (OSError, ValueError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return EXIT_INTERRUPTED


def predict(options) -> int:
    """Writes the maps of `options` (see `build_parser`) and returns the exit code."""
    photos = find_photos(options.inputs, options.out, summaries.is_output)
    _check(options)
    with quiet_native_stderr():
        from dmenet_tf.prediction.folders import Folder
        from dmenet_tf.prediction.predictor import check_max_side, check_tile

    check_tile(options.tile)
    check_max_side(options.max_side)
    with _server(options) if options.server else _network(options) as predictor:
        if predictor.metadata.licence:
            print(f"note: {predictor.metadata.licence}", file=sys.stderr)
        if not options.server:
            return Folder(options, predictor).write(photos)
        jobs = SERVER_JOBS if options.jobs is None else options.jobs
        # Maps that came in 16 bits are not those of floats, to the last bit.
        return Folder(options, predictor, jobs, {"exact": options.exact}).write(photos)


def _check(options) -> None:
    for name in ("max_pixels", "sharp_below"):
        value = getattr(options, name)
        if not 0 < value < float("inf"):
            raise ValueError(f"--{name.replace('_', '-')} must be above 0; received {value:g}")
    if options.server:
        if options.jobs is not None and not 1 <= options.jobs <= MAX_JOBS:
            raise ValueError(f"--jobs must lie in 1 .. {MAX_JOBS}; received {options.jobs}")
        return
    for name in ("jobs", "exact", *SERVER_FIELDS):
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')} goes with --server, not with --weights")
    if not Path(options.weights).exists():
        raise FileNotFoundError(
            f"--weights must be a run's folder or an .npz; there is no {options.weights} "
            "(python -m dmenet_tf.train --preset demo makes runs/demo)"
        )


def _network(options):
    with quiet_native_stderr():
        from dmenet_tf.prediction.local import Predictor

    return Predictor(options.weights, tile=options.tile)


def _server(options):
    """A predictor that asks the server, which has answered once: it says which model it runs."""
    # By name: nothing of this package depends on `serving`, which depends on it.
    try:
        client = importlib.import_module("serving.client")
    except ImportError as error:
        raise ValueError(
            f"--server needs what is not installed ({error}): pip install 'dmenet-tf[serving]'"
        ) from error
    given = {field: getattr(options, name) for name, field in SERVER_FIELDS.items()}
    client_options = client.ClientOptions(**{k: v for k, v in given.items() if v is not None})
    predictor = client.RemotePredictor(
        options.server,
        client_options,
        tile=options.tile,
        exact=options.exact,
        on_retry=lambda line: tqdm.write(line, file=sys.stderr),
    )
    try:
        # A wrong address should not take as long to tell as a server that starts anew.
        predictor.backend.ask_metadata(min(FIRST_ANSWER_S, client_options.retry_s))
    except BaseException:
        predictor.close()
        raise
    return predictor


if __name__ == "__main__":
    sys.exit(main())

"""A trained B for other programs: checked first, then published.

    dmenet export --weights runs/demo --out models/dmenet     or the shipped model without --weights
    dmenet export --format onnx --out dmenet.onnx

Writes `models/dmenet/<version>/`, the next free version of a SavedModel for TensorFlow Serving
(`exporting/publishing.py`), or one ONNX file (`exporting/onnx_file.py`).
TensorFlow is imported only after the command line has been checked.
"""

import argparse
import json
import sys
from pathlib import Path

from data_gen.environment import quiet_native_stderr
from data_gen.exit_codes import FAILED, OK
from data_gen.installation import not_installed
from dmenet_tf import environment
from dmenet_tf.architecture import INFERENCE_PRECISIONS
from dmenet_tf.console import Parser, UsageError, run
from dmenet_tf.weights.shipped import existing, shipped_weights
from serving import contract
from serving.exporting.checks import check_side, check_version

SAVED_MODEL, ONNX = FORMATS = ("saved-model", "onnx")
ONNX_SUFFIX = ".onnx"
EPILOG = """\
example:
  dmenet export --weights runs/demo --out models/dmenet
  dmenet serve --models models
"""


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="dmenet export",
        usage="%(prog)s [--weights PATH] -o models/dmenet | model.onnx [options]",
        description="Writes a SavedModel that TensorFlow Serving takes as it is, or an ONNX file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        renamed={"--checkpoint": "--weights"},
    )
    add = parser.add_argument
    add("--weights", metavar="PATH",
        help="a run's folder, or DMENet_BDCS.npz (default: the shipped model)")  # fmt: skip
    add("-o", "--out", type=Path, required=True, metavar="PATH",
        help="the model's folder, whose name is the model's; or a file NAME.onnx")  # fmt: skip
    add("--format", choices=FORMATS, help="default: onnx for a PATH that ends in .onnx")
    add("--version", type=int, metavar="N", help="default: one above the highest in the folder")
    add("--last", action="store_true", help="a run's last checkpoint instead of its best")
    add("--precision", choices=INFERENCE_PRECISIONS, default=INFERENCE_PRECISIONS[0],
        help="what the SavedModel computes in; float16 and bfloat16 are for GPUs")  # fmt: skip
    add("--max-side", type=int, metavar="PX",
        help="recommend that clients reduce larger photos to PX; 0: full size (default: what the "
        "model recommends)")  # fmt: skip
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    environment.prepare()
    return run(lambda: _checked_export(_parse(argv)), "interrupted; nothing was published")


def _checked_export(options) -> int:
    weights = existing(options.weights or shipped_weights())
    try:
        _export(options, weights)
    except ImportError as error:
        extra = "onnx" if options.format == ONNX else "serving"
        print(f"error: {not_installed('`dmenet export`', error, extra)}", file=sys.stderr)
        return FAILED
    return OK


def _parse(argv) -> argparse.Namespace:
    options = build_parser().parse_args(argv)
    try:
        options.format = _format(options)
        check_version(options.version)
        check_side(options.max_side)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return options


def _format(options) -> str:
    """The format, checked against the other options."""
    is_file = options.out.suffix == ONNX_SUFFIX
    chosen = options.format or (ONNX if is_file else SAVED_MODEL)
    if is_file != (chosen == ONNX):
        raise ValueError(
            f"--format {ONNX} writes a file that ends in {ONNX_SUFFIX}, {SAVED_MODEL} a folder; "
            f"received --format {chosen} with {options.out}"
        )
    if chosen == ONNX and options.version is not None:
        raise ValueError(f"--version goes with {SAVED_MODEL}; an ONNX file has no versions")
    if chosen == ONNX and options.precision != INFERENCE_PRECISIONS[0]:
        raise ValueError(
            f"--precision goes with {SAVED_MODEL}, an ONNX file is {INFERENCE_PRECISIONS[0]}; "
            f"received {options.precision}"
        )
    return chosen


def _export(options, weights) -> None:
    """Writes the model and says so."""
    with quiet_native_stderr():
        from dmenet_tf.weights.checkpoints import BEST, LATEST
        from dmenet_tf.weights.load import load_weights

        # What is not installed is said before weights are read.
        if options.format == ONNX:
            from serving.exporting.onnx_file import export_onnx as write
        else:
            from serving.exporting.publishing import publish as write
    trained = load_weights(weights, LATEST if options.last else BEST)
    if options.format == SAVED_MODEL:
        settings = options.version, options.max_side, options.precision
        _report(write(trained, options.out, *settings), options.out)
    else:
        difference = write(trained, options.out, options.max_side)
        size = options.out.stat().st_size / 1e6
        print(f"wrote {options.out} ({size:.1f} MB): model {trained.identity}, {trained.encoding}")
        print(f"run by onnxruntime and compared with Keras: defocus differs by {difference:.1g}")
        if trained.licence:
            print(f"note: {trained.licence}", file=sys.stderr)


def _report(folder: Path, out: Path) -> None:
    about = json.loads((folder / contract.METADATA_FILE).read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"published {folder} ({size / 1e6:.1f} MB): model {about['model']}, {about['encoding']}")
    print(f"loaded as a server does and compared with Keras: {about['verification']}")
    if contract.RECOMMENDED_SIDE in about:
        print(f"clients are told to reduce photos to {about[contract.RECOMMENDED_SIDE]} px")
    if about["licence"]:
        print(f"note: {about['licence']}", file=sys.stderr)
    print(f"next: dmenet serve --models {out.parent}")
    if out.name != contract.MODEL_NAME:
        print(f"note: clients ask for the model {contract.MODEL_NAME!r}; this one is {out.name!r}")


if __name__ == "__main__":
    sys.exit(main())

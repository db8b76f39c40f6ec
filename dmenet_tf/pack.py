"""Trained weights as one small file.

    dmenet pack --weights runs/photo -o photo.npz --licence "For research use: ..."

float16, half a checkpoint's size, with its unit, the size at which it should see a photo, and its
terms. Several weights become their mean; an encoder can be made narrower, the strength of blur
calibrated. TensorFlow is imported after the command line has been checked.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from data_gen.environment import quiet_native_stderr
from data_gen.exit_codes import OK
from dmenet_tf.console import Parser, UsageError, run
from dmenet_tf.environment import prepare
from dmenet_tf.weights.shipped import existing

SUFFIX = ".npz"


def build_parser() -> Parser:
    parser = Parser(
        prog="dmenet pack",
        usage="%(prog)s --weights PATH [PATH ...] -o FILE.npz [options]",
        description="Writes trained weights as one file of float16 that every --weights takes.",
    )
    add = parser.add_argument
    add("--weights", required=True, nargs="+", metavar="PATH",
        help="a run's folder, or an .npz; of several, the mean is written, which is often better "
        "than each where they were trained from one another")  # fmt: skip
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="the file to write, an .npz")
    add("--last", action="store_true", help="a run's last checkpoint instead of its best")
    add("--licence", default="", metavar="TEXT", help="terms that travel with the weights")
    add("--max-side", type=int, metavar="PX",
        help="longer side at which the network should see a photo; 0: full size (default: that of "
        "the weights)")  # fmt: skip
    add("--encoder-width", type=float, metavar="W",
        help="keep only those channels of the encoder that carry most, W times the paper's: the "
        "start of a smaller model, to be trained further")  # fmt: skip
    add("--calibrate", type=float, nargs=2, metavar=("SCALE", "SHIFT"),
        help="a map's logits become SCALE times themselves plus SHIFT: blur is larger or smaller "
        "by it, in the same order")  # fmt: skip
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    prepare()
    return run(lambda: _pack(_parse(argv)), "interrupted; nothing was written")


def _parse(argv) -> argparse.Namespace:
    options = build_parser().parse_args(argv)
    if options.out.suffix != SUFFIX:
        raise UsageError(f"-o/--out must be a file that ends in {SUFFIX}; received {options.out}")
    if options.max_side is not None and not (options.max_side == 0 or options.max_side >= 16):
        raise UsageError(f"--max-side must be 0, or at least 16; received {options.max_side}")
    if options.encoder_width is not None and not options.encoder_width > 0:
        raise UsageError(f"--encoder-width must be above 0; received {options.encoder_width}")
    if options.calibrate is not None and not options.calibrate[0] > 0:
        raise UsageError(f"--calibrate's SCALE must be above 0; received {options.calibrate[0]}")
    return options


def _pack(options) -> int:
    paths = [existing(path) for path in options.weights]
    with quiet_native_stderr():
        from dmenet_tf.weights.checkpoints import BEST, LATEST
        from dmenet_tf.weights.load import (
            calibrated,
            load_weights,
            mean_of_weights,
            save_weights,
        )
    which = LATEST if options.last else BEST
    models = [load_weights(path, which) for path in paths]
    trained = models[0] if len(models) == 1 else mean_of_weights(models)
    if options.encoder_width is not None:
        from dmenet_tf.weights.narrowing import narrow_encoder

        trained = narrow_encoder(trained, options.encoder_width)
    if options.calibrate is not None:
        trained = calibrated(trained, *options.calibrate)
    if options.max_side is not None:
        trained = replace(trained, recommended_side=options.max_side)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(options.out, trained, options.licence)
    written = load_weights(options.out)
    print(
        f"wrote {options.out} ({options.out.stat().st_size / 2**20:.1f} MiB): model "
        f"{written.identity}, {written.encoding}, max side {written.recommended_side or 'full'}"
    )
    return OK


if __name__ == "__main__":
    sys.exit(main())

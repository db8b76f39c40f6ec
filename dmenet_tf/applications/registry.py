"""The applications' options, and what each makes of a photo and its map.

Imports no TensorFlow, so that `--help` and shell completion answer at once.
"""

import argparse
from pathlib import Path

import numpy as np

from data_gen import optics
from data_gen.io.photos import MAX_PIXELS
from dmenet_tf.applications import deblur, depth, magnify, refocus, segment

EPILOG = """\
A map comes from --weights (a run's folder or an .npz), or from --map: a file for one photo, a
folder for several (NAME.jpg.sigma.npy and so on, as `predict --write npy` leaves them).

exit code: 0 all done, 1 nothing could be done, 3 some photos failed (the rest is done).

examples:
  dmenet apply magnify photo.jpg -o out --weights runs/demo --factor 2.5
  dmenet apply refocus photo.jpg -o out --map maps/photo.jpg.sigma.npy --at 800,420 --aperture 2
"""


def build_parser() -> argparse.ArgumentParser:
    """Options of all applications; imports no TensorFlow."""
    parser = argparse.ArgumentParser(
        prog="dmenet apply",
        description="Magnifies blur, refocuses, estimates depth, cuts out, or deblurs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, (help_text, add_options, _) in APPLICATIONS.items():
        subparser = subparsers.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_common(subparser)
        add_options(subparser.add_argument_group(f"options of {name}"))
    return parser


def _add_common(parser):
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO", help="file, folder, quoted pattern, or - for stdin")
    add("-o", "--out", type=Path, required=True, help="folder of the results")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", metavar="PATH", help="a run's folder, or DMENet_BDCS.npz")
    source.add_argument("--map", type=Path, metavar="FILE", help="a ready map, or a folder of maps")
    add("--max-side", type=int, metavar="N", help="predict on photos reduced to N px")
    add("--follow-edges", action=argparse.BooleanOptionalAction, default=None,
        help="even the map out along the photo's edges (default: predicted maps only)")  # fmt: skip
    add("--sharp", type=_sharp, metavar="PX",
        help="blur that counts as none, taken off in squares, or auto: what the photo's sharp part "
        "has (default: auto for predicted maps of magnify, refocus, depth; else 0)")  # fmt: skip
    add("--max-pixels", type=float, default=MAX_PIXELS / 1e6, metavar="M",
        help="refuse photos above M million pixels (default %(default)g)")  # fmt: skip
    add("--format", choices=("png", "jpg"), default="png", help="of photos (default %(default)s)")


def _sharp(text):
    if text == "auto":
        return text
    value = float(text)
    if not 0 <= value < np.inf:
        raise argparse.ArgumentTypeError(f"must be >= 0, or auto; received {text}")
    return value


def _point(text):
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be X,Y in pixels; received {text!r}") from None
    return x, y


# --- the applications: help, options, and (image, sigma_px, options) -> {suffix: result} --------


def _add_near(group):
    group.add_argument("--near", action="store_true", help="blur lies in front, not behind")


def _magnify_options(group):
    group.add_argument("--factor", type=float, default=2.0, help="k >= 1 (default %(default)g)")
    _add_near(group)


def _magnify(image, sigma_px, options):
    return {"magnified": magnify.magnify(image, sigma_px, options.factor, options.near)}


def _refocus_options(group):
    plane = group.add_mutually_exclusive_group()
    plane.add_argument("--at", type=_point, metavar="X,Y", help="focus on what is at this pixel")
    plane.add_argument("--focus", type=float, default=0.0, metavar="PX",
                       help="focus on what has this blur (default %(default)g)")  # fmt: skip
    group.add_argument("--aperture", type=float, default=1.0, help="relative diameter (default 1)")
    group.add_argument("--sharpen", type=float, default=0.7, metavar="S",
                       help="of deconvolution, 0 .. 1 (default %(default)g)")  # fmt: skip
    _add_near(group)


def _refocus(image, sigma_px, options):
    focus_px = refocus.sigma_at(sigma_px, *options.at) if options.at else options.focus
    return {
        "refocused": refocus.refocus(
            image, sigma_px, focus_px, options.aperture, options.near, options.sharpen
        )
    }


def _depth_options(group):
    _add_near(group)
    add = group.add_argument
    add("--focal-length", type=float, metavar="MM", help="with the next two: depth in metres")
    add("--f-number", type=float, metavar="N")
    add("--focus-distance", type=float, metavar="M", help="metres to the plane in focus")
    add("--sensor-width", type=float, default=optics.SENSOR_WIDTH_MM, metavar="MM",
        help="of the whole frame (default %(default)g)")  # fmt: skip


def camera(options):
    numbers = (options.focal_length, options.f_number, options.focus_distance)
    if numbers == (None,) * 3:
        return None
    if None in numbers:
        raise ValueError(
            "depth in metres takes --focal-length, --f-number and --focus-distance together"
        )
    return depth.Camera(*numbers, options.sensor_width)


def _depth(image, sigma_px, options):
    relative = depth.relative_depth(sigma_px, options.near)
    results = {"depth16.png": np.rint(relative * 65535).astype(np.uint16)}
    lens = camera(options)
    if lens is not None:
        results["depth_m.npy"] = depth.metric_depth(sigma_px, lens, options.near)
    return results


def _segment_options(group):
    add = group.add_argument
    add("--rule", choices=segment.RULES, default="otsu", help="(default %(default)s)")
    add("--threshold", type=float, default=1.5, metavar="PX",
        help="of fixed, upper one of hysteresis (default %(default)g)")  # fmt: skip
    add("--low", type=float, default=0.75, metavar="PX", help="of hysteresis (default %(default)g)")
    add("--grabcut", action="store_true", help="let colours decide along the outline")
    add("--raw", action="store_true", help="the threshold alone: no cleaning")


def _segment(image, sigma_px, options):
    mask = segment.sharp_mask(
        image, sigma_px, options.rule, options.threshold, options.low, not options.raw,
        options.grabcut,
    )  # fmt: skip
    return {"mask.png": np.uint8(mask) * 255, "cutout.png": segment.cut_out(image, mask)}


def _deblur_options(group):
    add = group.add_argument
    add("--iterations", type=int, default=15, help="sharper and noisier (default %(default)d)")
    add("--tv", type=float, default=0.001, help="total variation (default %(default)g)")
    add("--amount", type=float, default=1.0, help="0 .. 1, share applied (default %(default)g)")


def _deblur(image, sigma_px, options):
    sharp = deblur.deblur(image, sigma_px, options.iterations, options.tv, options.amount)
    return {"deblurred": sharp}


APPLICATIONS = {
    "magnify": ("multiplies the blur of what is out of focus", _magnify_options, _magnify),
    "refocus": ("puts another plane in focus, with another aperture", _refocus_options, _refocus),
    "depth": ("writes pseudo-depth, 16-bit: 65535 = farthest", _depth_options, _depth),
    "segment": ("cuts out what is in focus: mask and RGBA", _segment_options, _segment),
    "deblur": ("takes defocus back by deconvolution", _deblur_options, _deblur),
}
FLOORED = ("magnify", "refocus", "depth")  # there, a subject's blur must be none

"""The applications: the options of each, and what it makes of a photo and its map.

Imports no TensorFlow, so that `--help` and shell completion answer at once.
"""

import argparse
import functools
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_gen import optics
from data_gen.progress import progress
from dmenet_tf.applications import deblur, depth, magnify, refocus, segment


class Application(NamedTuple):
    """One application of a map.

    Attributes:
        help: one line.
        add_options: adds its own options to a group of argparse.
        apply: (image float32 [H, W, 3] in [0, 1], sigma_px float32 [H, W], options) -> results,
            {suffix: array}: float32 [H, W, 3] for a photo, [H, W, 4] for a cutout, integers for a
            mask or a map that is written as it is.
        remark: (results, options) -> what is to be said of the results of a photo, or "".
        texts: (sigma_px, options) -> {suffix: {key: text}}, stored in the PNG of that result.
        floor: whether the blur of the photo's own sharp part is taken off a predicted map first: a
            subject in focus must have none.
    """

    help: str
    add_options: Callable
    apply: Callable
    floor: bool = False
    remark: Callable | None = None
    texts: Callable | None = None


def _point(text):
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be X,Y in pixels; received {text!r}") from None
    return x, y


# --- magnify, refocus, depth, segment, deblur --------------------------------------------------


def _add_near(group):
    group.add_argument("--near", action="store_true",
                       help="the blurred parts are nearer than the plane in focus, "
                       "not farther")  # fmt: skip


def _magnify_options(group):
    group.add_argument("--factor", type=float, default=2.0, metavar="K",
                       help="by which blur is multiplied, >= 1 (default %(default)g)")  # fmt: skip
    _add_near(group)


def _magnify(image, sigma_px, options):
    return {"magnified": magnify.magnify(image, sigma_px, options.factor, options.near)}


def _refocus_options(group):
    plane = group.add_mutually_exclusive_group()
    plane.add_argument("--at", type=_point, metavar="X,Y", help="focus on the object at this pixel")
    plane.add_argument("--focus", type=float, default=0.0, metavar="PX",
                       help="focus on objects with this blur (default %(default)g)")  # fmt: skip
    group.add_argument("--aperture", type=float, default=1.0, metavar="A",
                       help="diameter relative to the photo's own (default 1)")  # fmt: skip
    group.add_argument("--sharpen", type=float, default=0.7, metavar="S",
                       help="strength of the deconvolution, 0 to 1 "
                       "(default %(default)g)")  # fmt: skip
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
    add(
        "--focus-distance",
        type=float,
        metavar="M",
        help="distance to the plane in focus, in metres",
    )
    add("--sensor-width", type=float, default=optics.SENSOR_WIDTH_MM, metavar="MM",
        help="width of the whole frame (default %(default)g)")  # fmt: skip


def camera(options) -> depth.Camera | None:
    """The camera that the options of `depth` describe, or None; ValueError for half of one."""
    numbers = (options.focal_length, options.f_number, options.focus_distance)
    if numbers == (None,) * 3:
        return None
    if None in numbers:
        raise ValueError(
            "depth in metres needs --focal-length, --f-number and --focus-distance together"
        )
    return depth.Camera(*numbers, options.sensor_width)


def _depth(image, sigma_px, options):
    relative = depth.relative_depth(sigma_px, options.near)
    results = {"depth16.png": np.rint(relative * 65535).astype(np.uint16)}
    lens = camera(options)
    if lens is not None:
        results["depth_m.npy"] = depth.metric_depth(sigma_px, lens, options.near)
    return results


def _depth_texts(sigma_px, options):
    return {"depth16.png": {depth.PNG_KEY: json.dumps(depth.about(sigma_px, options.near))}}


def _depth_remark(results, options):
    metres = results.get("depth_m.npy")
    return "" if metres is None else depth.beyond_infinity(metres, camera(options))


def _segment_options(group):
    add = group.add_argument
    add("--rule", choices=segment.RULES, default="otsu",
        help="how the map is split into sharp and blurred (default %(default)s)")  # fmt: skip
    add("--threshold", type=float, default=1.5, metavar="PX",
        help="for fixed, and the upper one for hysteresis (default %(default)g)")  # fmt: skip
    add("--low", type=float, default=0.75, metavar="PX",
        help="lower threshold for hysteresis (default %(default)g)")  # fmt: skip
    add("--grabcut", action="store_true", help="refine the outline by colour (GrabCut)")
    add("--raw", action="store_true", help="threshold only: keep specks and holes")


def _segment(image, sigma_px, options):
    mask = segment.sharp_mask(
        image, sigma_px, options.rule, options.threshold, options.low, not options.raw,
        options.grabcut,
    )  # fmt: skip
    return {"mask.png": np.uint8(mask) * 255, "cutout.png": segment.cut_out(image, mask)}


def _deblur_options(group):
    add = group.add_argument
    add("--iterations", type=int, default=15, metavar="N",
        help="more make it sharper and noisier (default %(default)d)")  # fmt: skip
    add("--tv", type=float, default=0.001, metavar="W",
        help="weight of total variation; more for noisy photos (default %(default)g)")  # fmt: skip
    add("--amount", type=float, default=1.0, metavar="A",
        help="share of the change that is applied, 0 to 1 (default %(default)g)")  # fmt: skip


def _deblur(image, sigma_px, options):
    bar = functools.partial(progress, desc="deblurring", unit="tile", leave=False)
    how = options.iterations, options.tv, options.amount
    sharp = deblur.deblur(image, sigma_px, *how, progress=bar)
    return {"deblurred": sharp}


APPLICATIONS = {
    "magnify": Application(
        "multiply the blur of what is out of focus", _magnify_options, _magnify, floor=True
    ),
    "refocus": Application(
        "focus on another plane, with another aperture", _refocus_options, _refocus, floor=True
    ),
    "depth": Application(
        "write pseudo-depth, 16-bit: 65535 = farthest",
        _depth_options,
        _depth,
        floor=True,
        remark=_depth_remark,
        texts=_depth_texts,
    ),
    "segment": Application("cut out what is in focus: mask and RGBA", _segment_options, _segment),
    "deblur": Application("reduce defocus by deconvolution", _deblur_options, _deblur),
}

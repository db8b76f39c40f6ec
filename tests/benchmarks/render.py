"""The renderer against the dense loop that a user would write with OpenCV, in one run.

    python tests/benchmarks/render.py [FOLDER OF MPI SINTEL]

Without a folder the frame is a procedural scene of the same size (1024 x 436). The last line is
one JSON object.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

from data_gen import apertures, compositing, optics, sources
from data_gen.scenes import make_scene

PAIRS = 3
CROPS = 60
CROP = 240


def main(argv):
    origin = argv[0] if argv else "procedural"
    if argv:
        image, depth = sources.open_source(argv[0]).read(0)
    else:
        image, depth = make_scene(0, 0, 436, 1024)
    image, depth = tf.constant(image, tf.float32) / 255.0, tf.constant(depth)
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    focus = near + 0.15 * (far - near)
    lens = optics.Lens(focus, optics.largest_alpha_px(near, far, focus))
    index, sigma_px = compositing.quantise(depth, lens, near, far)
    ours, dense = [], []
    compositing.render(image, depth, lens)  # traced once
    for _ in range(PAIRS):
        rendered, seconds = timed(lambda: compositing.render(image, depth, lens)[0].numpy())
        ours.append(seconds)
        expected, seconds = timed(
            lambda: dense_loop(image.numpy(), index.numpy(), sigma_px.numpy())
        )
        dense.append(seconds)
    figures = {
        "frame": origin,
        "layers": len(sigma_px),
        "render_s": round(float(np.median(ours)), 4),
        "speedup_vs_dense": round(float(np.median(np.divide(dense, ours))), 2),
        "max_abs_diff": float(np.abs(rendered - expected).max()),
        "crops_per_s": round(crops_per_second(image, depth, lens), 2),
    }
    print(json.dumps(figures))


def timed(function):
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def dense_loop(image, layer_index, layer_sigma_px):
    """One separable blur of image and mask over the whole frame for every layer."""
    out, coverage = np.zeros_like(image), np.zeros(image.shape[:2], np.float32)
    offset = np.arange(-compositing.RADIUS, compositing.RADIUS + 1)
    for layer, sigma in enumerate(layer_sigma_px):
        taps = np.exp(-0.5 * np.square(offset / max(sigma, apertures.SIGMA_FLOOR_PX)))
        taps = (taps / taps.sum()).astype(np.float32)
        mask = (layer_index == layer).astype(np.float32)[..., None]
        stack = np.concatenate([image * mask, mask], axis=-1)
        blurred = cv2.sepFilter2D(stack, -1, taps, taps, borderType=cv2.BORDER_REFLECT)
        alpha = blurred[..., 3]
        alpha = np.where(alpha < compositing.MASK_FLOOR, 0, alpha)
        out = out * (1 - alpha[..., None]) + blurred[..., :3]
        coverage = coverage * (1 - alpha) + alpha
    return np.clip(out / coverage[..., None], 0, 1)


def crops_per_second(image, depth, lens):
    """Training crops of one frame at random places, through tf.data."""
    free = tf.shape(depth) - CROP + 1

    def crop(i):
        at = tf.random.stateless_uniform([2], tf.stack([0, tf.cast(i, tf.int32)]))
        corner = tf.cast(at * tf.cast(free, tf.float32), tf.int32)
        return compositing.render(image, depth, lens, (corner[0], corner[1], CROP, CROP))[0]

    dataset = tf.data.Dataset.range(CROPS + 1).map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    crops = iter(dataset)
    next(crops)
    _, seconds = timed(lambda: [next(crops) for _ in range(CROPS)])
    return CROPS / seconds


if __name__ == "__main__":
    main(sys.argv[1:])

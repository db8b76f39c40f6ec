"""The renderer against the dense loop that a user would write with OpenCV, in one run.

    python -m tests.benchmarks.render [FOLDER OF RGB-D SCENES] [--plot FILE]

The frame is the folder's first scene. Without a folder it is MPI Sintel's of the reference data
(`DMENET_SHARED`, see tests/support/paths.py), and without that a procedural scene of its size,
1024 x 436. Both renderers take all cores, in turn. Then: crops of 240 px a
second through tf.data; how cost grows with pixels, layers and cores; the same tiles
without XLA; the memory that a frame of 24 megapixels takes. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

from data_gen.rendering import apertures, compositing, tile_blurs
from data_gen.rendering.layers import layer_bounds, quantise
from data_gen.rendering.lens import Lens, max_alpha_px
from data_gen.scenes.composition import make_scene
from data_gen.sources import rgbd as sources
from tests.support.cores import on_cores
from tests.support.paths import SHARED

SINTEL = SHARED / "data" / "native"
PAIRS = 3
CROPS = 60
CROP = 240
LARGE = (4000, 6000)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="RGB-D scenes; the first is rendered")
    parser.add_argument("--plot", help="PNG of how cost grows")
    parser.add_argument("--part", choices=("large", "one-core"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.part:
        print(json.dumps(large_frame() if options.part == "large" else one_core(options.folder)))
        return
    folder = options.folder or (str(SINTEL) if SINTEL.is_dir() else None)
    image, depth, lens = open_frame(folder)
    name = sources.open_source(folder).name(0) if folder else "procedural"
    figures = {"frame": name, "size": list(depth.shape)}
    figures |= paired(image, depth, lens)
    figures["crops_per_s"] = round(crops_per_second(image, depth, lens), 2)
    figures |= rates(image, depth, lens, figures["render_s"])
    figures["xla_over_plain"] = round(xla_over_plain(image, depth, lens), 2)
    growth = growth_table(image, depth, lens, figures["render_s"], folder)
    figures |= in_another_process("large")
    for title, rows in growth.items():
        print(f"{title:>12}  seconds  relative")
        for value, seconds in rows:
            print(f"{value:12g}  {seconds:7.3f}  {seconds / rows[0][1]:8.2f}")
    if options.plot:
        plot(growth, options.plot)
    for name, value in figures.items():
        print(f"{name:>24}: {value}")
    print(json.dumps(figures))


def open_frame(folder):
    image, depth = sources.open_source(folder).read(0) if folder else make_scene(0, 0, 436, 1024)
    image, depth = tf.constant(image, tf.float32) / 255.0, tf.constant(depth)
    return image, depth, lens_of(depth)


def lens_of(depth, share=1.0):
    """Focused a little behind the near bound, opened for `share` of the largest blur."""
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    focus = near + 0.15 * (far - near)
    return Lens(focus, share * max_alpha_px(near, far, focus))


def timed(function):
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def best_of(function, runs=3):
    function()  # traced, buffers warm
    return min(timed(function)[1] for _ in range(runs))


def paired(image, depth, lens):
    """Frame after frame, ours and the dense loop in turn."""
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    index, sigma_px = quantise(depth, lens, layer_bounds(lens, near, far))
    ours, dense = [], []
    compositing.render(image, depth, lens)  # traced once
    for _ in range(PAIRS):
        rendered, seconds = timed(lambda: compositing.render(image, depth, lens)[0].numpy())
        ours.append(seconds)
        expected, seconds = timed(
            lambda: dense_loop(image.numpy(), index.numpy(), sigma_px.numpy())
        )
        dense.append(seconds)
    return {
        "layers": len(sigma_px),
        "render_s": round(float(np.median(ours)), 4),
        "dense_s": round(float(np.median(dense)), 3),
        "speedup_vs_dense": round(float(np.median(np.divide(dense, ours))), 2),
        "max_abs_diff": float(np.abs(rendered - expected).max()),
    }


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


# --- against the machine -------------------------------------------------------------------------


def layers_of_tiles(image, depth, lens):
    """How many layers the windows of all tiles hold, summed."""
    layers = layer_bounds(lens, tf.reduce_min(depth), tf.reduce_max(depth))
    index, _ = quantise(depth, lens, layers)
    tile, margin = compositing.TILE, compositing.RADIUS
    height, width = index.shape
    pad = [(margin, margin + -height % tile), (margin, margin + -width % tile)]
    padded = np.pad(index.numpy(), pad, mode="symmetric")
    corners = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    window = compositing.WINDOW
    return sum(len(np.unique(padded[y : y + window, x : x + window])) for y, x in corners)


def rates(image, depth, lens, seconds):
    """Multiply-adds of the banded products a second, against one large product of matrices."""
    tile, window = compositing.TILE, compositing.WINDOW
    per_layer = 2 * (4 * window * window * tile + tile * window * 4 * tile)
    gflops = layers_of_tiles(image, depth, lens) * per_layer / seconds / 1e9
    side = 2048
    matrix = tf.random.stateless_normal([side, side], [0, 0])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    matmul_gflops = 2 * side**3 / best_of(lambda: product().numpy()) / 1e9
    return {
        "gflops": round(gflops, 1),
        "matmul_gflops": round(matmul_gflops, 1),
        "fraction_of_matmul": round(gflops / matmul_gflops, 3),
    }


def xla_over_plain(image, depth, lens):
    """How many times faster the tile compiled by XLA makes a frame, than the same sums without."""
    near, far = tf.reduce_min(depth), tf.reduce_max(depth)
    index, sigma_px = quantise(depth, lens, layer_bounds(lens, near, far))
    bands, whole = tile_blurs.gaussian_bands(sigma_px), (0, 0, *index.shape)

    def renderer(blend):
        return tf.function(lambda: compositing.blend_tiles(image, index, whole, blend, bands))

    compiled = renderer(compositing.blend_by_bands)
    plain = renderer(compositing.blend_by_bands_plain)
    difference = np.abs(plain() - compiled()).max()
    assert difference < 1e-3, difference
    ratios = []
    for _ in range(PAIRS):
        slow, fast = (timed(lambda r=r: r().numpy())[1] for r in (plain, compiled))
        ratios.append(slow / fast)
    return np.median(ratios)


# --- growth --------------------------------------------------------------------------------------


def growth_table(image, depth, lens, seconds, folder):
    """{what grows: [(value, seconds of a frame)]}."""
    height, width = depth.shape
    pixels, layers = [], []
    for part in (4, 2, 1):
        cut = (slice(height // part), slice(width // part))
        small = image[cut], depth[cut]
        near_far = tf.reduce_min(depth), tf.reduce_max(depth)
        index, sigma_px = quantise(small[1], lens, layer_bounds(lens, *near_far))
        blend = tf.function(compositing.blend_layers)
        elapsed = best_of(lambda b=blend, s=small, i=index, g=sigma_px: b(s[0], i, g).numpy())
        pixels.append((index.shape[0] * index.shape[1] / 1e6, elapsed))
    for share in (0.05, 0.2, 1.0):
        opened = lens_of(depth, share)
        first, last, _ = layer_bounds(opened, tf.reduce_min(depth), tf.reduce_max(depth))
        elapsed = best_of(lambda o=opened: compositing.render(image, depth, o)[0].numpy())
        layers.append((int(last - first) + 1, elapsed))
    cores = [(1, in_another_process("one-core", folder)["one_core_s"])]
    if os.cpu_count() > 1:
        cores.append((os.cpu_count(), seconds))
    return {"megapixels": pixels, "layers": layers, "cores": cores}


def one_core(folder):
    image, depth, lens = open_frame(folder)
    return {"one_core_s": best_of(lambda: compositing.render(image, depth, lens)[0].numpy())}


def large_frame():
    """Peak memory and time of a frame of 24 megapixels, everything of this process included."""
    height, width = LARGE
    small = make_scene(0, 0, height // 8, width // 8)
    image = cv2.resize(small[0], (width, height), interpolation=cv2.INTER_CUBIC)
    depth = cv2.resize(small[1], (width, height), interpolation=cv2.INTER_LINEAR)
    image = tf.constant(image.astype(np.float32) / np.float32(255))
    (rendered, _), seconds = timed(lambda: compositing.render(image, depth, lens_of(depth)))
    assert rendered.shape == (height, width, 3)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"large_frame_s": round(seconds, 1), "large_frame_gib": round(peak_kib / 2**20, 2)}


def in_another_process(part, folder=None):
    """A part of this program in a process of its own; one core for "one-core"."""
    own = os.sched_getaffinity(0)
    program = [sys.executable, "-m", "tests.benchmarks.render"]
    command = [*program, "--part", part, *([folder] if folder else [])]
    with on_cores({min(own)} if part == "one-core" else own):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def plot(growth, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), dpi=120, layout="constrained")
    for axis, (title, rows) in zip(figure.subplots(1, len(growth)), growth.items(), strict=True):
        axis.plot(*zip(*rows, strict=True), marker="o")
        axis.set(xlabel=title, ylabel="seconds a frame", ylim=(0, None))
        axis.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1:])

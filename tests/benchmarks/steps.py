"""What the benchmarks of training share: a trainer, batches for it, measurements of both."""

import platform
import time
from dataclasses import replace

import numpy as np
import tensorflow as tf

from dmenet_tf.presets import PRESETS
from dmenet_tf.training import precision
from dmenet_tf.training.trainer import Trainer, build_networks
from tests.support.training import make_batch


def configuration(width: float, side: int, batch: int, kind="float32", jit="off"):
    """The paper's, of this width, size of crops, images of each domain and precision."""
    config = PRESETS["paper"].config
    return replace(
        config,
        network=replace(config.network, width=width, vgg_weights="none"),
        data=replace(config.data, crop=side, batch=batch),
        training=replace(config.training, precision=precision.resolve(kind), jit=jit),
    )


def build(config) -> Trainer:
    precision.set_up(config.training.precision)
    return Trainer(build_networks(config.network), config.loss, config.training, 1000)


def random_batch(config, seed=0) -> dict:
    """A batch of noise in place of photos: the time of a step does not depend on them."""
    return make_batch(seed, config.data.batch, config.data.crop)


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def wait_for(report: dict) -> None:
    """Reads what a step returns; until then, a GPU may still be at work."""
    for value in report.values():
        float(value)


def flops(function, *arguments) -> int:
    """Floating-point operations of one call, as TensorFlow counts them; shapes must be known.

    A multiplication and an addition are two. Those of compiled functions are not counted: give the
    plain one.
    """
    graph = function.get_concrete_function(*arguments).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    with graph.as_default():
        counted = profiler.profile(graph, options=options.with_empty_output().build())
    return counted.total_float_ops


def matmul_tflops(dtype: str, size: int = 0, repeats: int = 10) -> float:
    """10^12 operations a second of products of two square matrices; the best of three calls."""
    size = size or (8192 if has_gpu() else 2048)
    rng = np.random.default_rng(0)
    # Of this size, a product of products stays of the strength of its factors.
    start = tf.cast(rng.standard_normal((size, size)) / size**0.5, dtype)

    @tf.function
    def products(left):
        for _ in range(repeats):
            left = left @ start
        return tf.reduce_sum(tf.cast(left, tf.float32))

    float(products(start))
    best = min(seconds(lambda: float(products(start))) for _ in range(3))
    return 2 * size**3 * repeats / best / 1e12


def compute_type(kind: str) -> str:
    return kind.removeprefix("mixed_") if kind.startswith("mixed_") else "float32"


def has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def device_name() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {len(names) or '?'} cores"

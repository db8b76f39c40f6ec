"""What the benchmarks of training share: a trainer, batches for it, measurements of both."""

import platform
import time
from dataclasses import replace

import tensorflow as tf

from dmenet_tf.presets import PRESETS
from dmenet_tf.training import precision
from dmenet_tf.training.step_table import flops, matmul_tflops
from dmenet_tf.training.trainer import Trainer, build_networks
from tests.support.training import make_batch

__all__ = [
    "build",
    "configuration",
    "device_name",
    "flops",
    "has_gpu",
    "matmul_tflops",
    "random_batch",
    "seconds",
    "wait_for",
]


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

"""What of training and prediction only a GPU shows, in at most five minutes.

    python -m tests.benchmarks.gpu_check [--seconds 300]

Prints one JSON object as its last line; without a GPU {"gpu": null, ...}, and ends with 0 all the
same. Each check runs in a process of its own, is given what is left of the time, and leaves a line
under its name: its figures, or why there are none.

    device       name, memory; 10^12 operations a second of matrix products, by type
    operations   milliseconds of a step's most frequent operations and of their gradients, by type,
                 on a batch of `paper`'s finest features and of `small`'s: which of them is slow
    paper        width 1.0, 240 px, 8 images a domain, mixed_bfloat16, ten steps a call: seconds a
                 step, images/s over all domains, share of the rate of matrix products
    small        width 0.25, 160 px, 64 images a domain: the same
    small_persistent    the same by cuDNN's persistent kernels of batch normalisation, which suit
                 few channels and large images, and whose sums may be less exact
    data         crops of 240 px rendered a second with --data-on device, 64 a batch, by aperture,
                 and two photos cut and degraded beside each
    inference    milliseconds for a map of 512 x 512 at width 1.0, folded graph, in float32, tf32,
                 float16 and bfloat16
    paper_jit, small_jit    the two of training under XLA, and how long its first call took
    agreement    losses after 200 steps of the demo by each type, relative to float32's
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from data_gen.rendering.options import Realism
from dmenet_tf.config import DataConfig
from dmenet_tf.data import sources
from dmenet_tf.data.on_device import OnDevice
from dmenet_tf.training import precision
from dmenet_tf.training.calls import Steps
from tests.benchmarks import steps
from tests.support.agreement import (
    DIFFERENT_BATCHES,
    demo_batches,
    losses_of_the_demo,
    relative_to,
)

TYPES = ("float32", "tf32", "mixed_float16", "mixed_bfloat16")
STEPS_PER_CALL = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="for all checks together")
    parser.add_argument("--check", choices=CHECKS, help=argparse.SUPPRESS)
    # Sizes at which the checks can be tried without a GPU.
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        print(json.dumps(CHECKS[options.check](options.tiny)))
    elif not (steps.has_gpu() or options.tiny):
        print(json.dumps({"gpu": None, "note": "no GPU: TensorFlow lists none; nothing was run"}))
    else:
        print(json.dumps(all_checks(options)))


def all_checks(options) -> dict:
    end = time.monotonic() + options.seconds
    figures = {
        "gpu": steps.device_name(),
        "date": datetime.date.today().isoformat(),
        "tensorflow": tf.__version__,
    }
    for name in CHECKS:
        left = end - time.monotonic()
        figures[name] = run(name, left, options.tiny) if left > 1 else "left out: no time left"
        print(f"{name}: {figures[name]}", file=sys.stderr, flush=True)
    return figures


def run(name: str, left: float, tiny: bool):
    command = [sys.executable, "-m", "tests.benchmarks.gpu_check", "--check", name]
    try:
        done = subprocess.run(
            [*command, *(["--tiny"] if tiny else [])],
            capture_output=True,
            text=True,
            timeout=left,
            env={**os.environ, **ENVIRONMENTS.get(name, {})},
        )
    except subprocess.TimeoutExpired:
        return f"not done within the {left:.0f} s that were left"
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}"
    return json.loads(done.stdout.splitlines()[-1])


def device(tiny: bool) -> dict:
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    rates = {}
    for name in ("float32", "tf32", "float16", "bfloat16"):
        tf.config.experimental.enable_tensor_float_32_execution(name == "tf32")
        dtype = "float32" if name == "tf32" else name
        rates[name] = round(steps.matmul_tflops(dtype, 64 if tiny else 0), 3)
    return {
        "compute_capability": details.get("compute_capability"),
        "auto_precision": precision.resolve("auto"),
        "matmul_tflops": rates,
    }


def training(width, side, batch, jit, tiny) -> dict:
    """Several steps in one call, on a batch that stays on the device."""
    if tiny:
        width, side, batch = 0.0625, 32, 2
    config = steps.configuration(width, side, batch, "mixed_bfloat16", "on" if jit else "off")
    trainer, one = steps.build(config), steps.random_batch(config)
    group, call = [one] * (2 if tiny else STEPS_PER_CALL), Steps(trainer.train_step)
    first = steps.seconds(lambda: steps.wait_for(call(group)))
    second = steps.seconds(lambda: steps.wait_for(call(group)))
    times = [steps.seconds(lambda: steps.wait_for(call(group))) for _ in range(1 if tiny else 3)]
    step_s = min(times) / len(group)
    figures = {
        "first_call_s": round(first, 1),
        "second_call_s": round(second, 2),
        "step_ms": round(1e3 * step_s, 2),
        "images_per_s": round(3 * batch / step_s, 1),
    }
    if steps.has_gpu():
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        figures["peak_gib"] = round(peak / 2**30, 2)
    plain = tf.function(trainer.train_step.python_function, autograph=False)
    tflops = steps.flops(plain, one) / step_s / 1e12
    matmul = steps.matmul_tflops("bfloat16", 64 if tiny else 0)
    return figures | {
        "tflops": round(tflops, 2),
        "matmul_tflops": round(matmul, 2),
        "fraction_of_matmul": round(tflops / matmul, 4),
    }


def operations(tiny: bool) -> dict:
    shapes = {"paper": (24, 240, 64), "small": (192, 160, 16)}
    figures = {}
    for kind in ("float16", "bfloat16"):
        for name, shape in shapes.items():
            images, side, channels = (2, 16, 4) if tiny else shape
            x = tf.random.stateless_normal([images, side, side, channels], [0, 0], dtype=kind)
            of_shape = figures[f"{kind} {name}"] = {}
            for operation, function in _operations(channels, kind).items():
                of_shape[operation] = _milliseconds(function, x, 2 if tiny else 10)
                if operation == "kernel's gradient":
                    continue
                of_shape[f"{operation} and gradient"] = _milliseconds(
                    lambda x, f=function: _with_gradient(f, x), x, 2 if tiny else 10
                )
    return figures


def _operations(channels: int, kind: str) -> dict:
    kernel = tf.cast(tf.random.stateless_normal([3, 3, channels, channels], [0, 1]), kind)
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]

    def batch_norm(x):
        scale = tf.ones([channels])
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=scale, mean=[], variance=[], is_training=True
        ).y

    def kernel_gradient(x):
        y_size = [*x.shape[:1], x.shape[1] - 2, x.shape[2] - 2, channels]
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=[3, 3, channels, channels],
            out_backprop=tf.ones(y_size, kind),
            strides=[1, 1, 1, 1],
            padding="VALID",
        )

    return {
        "convolution": lambda x: tf.nn.conv2d(x, kernel, 1, "VALID"),
        "kernel's gradient": kernel_gradient,
        "padding": lambda x: tf.pad(x, padding, mode="SYMMETRIC"),
        "batch norm": batch_norm,
        "leaky relu": lambda x: tf.nn.leaky_relu(x, 0.2),
        "bias": lambda x: tf.nn.bias_add(x, tf.zeros([channels], kind)),
        "concat": lambda x: tf.concat([x, x], 3),
        "pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        "split": lambda x: tf.concat([2 * part for part in tf.split(x, 2)], 0),
    }


def _with_gradient(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, output_gradients=tf.ones_like(y))


def _milliseconds(function, x, times: int) -> float:
    """Of one call, from `times` of them between two looks at the clock."""
    compiled = tf.function(lambda x: tf.reshape(function(x), [-1])[0], autograph=False)
    float(compiled(x)), float(compiled(x))

    def calls():
        for _ in range(times):
            last = compiled(x)
        float(last)

    return round(1e3 * steps.seconds(calls) / times, 3)


def data(tiny: bool) -> dict:
    """What lies in memory is procedural: 32 scenes, 512 photos."""
    figures = {}
    for aperture in ("gaussian", "disc"):
        config = DataConfig(
            crop=32 if tiny else 240,
            batch=2 if tiny else 64,
            procedural_scenes=2 if tiny else 32,
            realism=Realism(aperture=aperture, linear_light=aperture == "disc"),
            data_on="device",
        )
        device = OnDevice(sources.open_streams(config, 0), config)
        drawn = list(device.drawn(0).take(4))

        @tf.function(autograph=False)
        def make(numbers, device=device):
            return tf.add_n([tf.reduce_mean(value) for value in device.batch(numbers).values()])

        for numbers in drawn:  # traced, and the memory taken that it needs
            float(make(numbers))
        times = [steps.seconds(lambda n=n: float(make(n))) for n in drawn]
        figures[aperture] = {"rendered_crops_per_s": round(config.batch * 4 / sum(times), 1)}
    return figures


def agreement(tiny: bool) -> dict:
    """What `tests/dmenet_tf/test_precision_training.py` asks of a processor."""
    batches = demo_batches(1 if tiny else DIFFERENT_BATCHES)
    losses = {kind: losses_of_the_demo(kind, batches, 2 if tiny else 200) for kind in TYPES}
    exact = losses.pop("float32")
    return {
        kind: {name: round(value, 5) for name, value in relative_to(exact, theirs).items()}
        for kind, theirs in losses.items()
    }


def inference(tiny: bool) -> dict:
    from dmenet_tf.networks import build_blur_estimation
    from dmenet_tf.networks.folding import fold

    side, figures = 32 if tiny else 512, {}
    model = build_blur_estimation(0.0625 if tiny else 1.0)
    image = tf.random.stateless_uniform([1, side, side, 3], [0, 0])
    for kind in ("float32", "tf32", "float16", "bfloat16"):
        precision.set_up("float32" if kind == "float32" else "tf32")
        folded = fold(model, kind if kind.endswith("16") else "float32")
        predict = tf.function(folded.__call__, autograph=False)

        def wait(predict=predict):
            float(tf.reduce_mean(predict(image)))

        wait()
        wait()
        times = [steps.seconds(wait) for _ in range(2 if tiny else 20)]
        figures[kind] = {"ms": round(1e3 * min(times), 2)}
    return figures


CHECKS = {
    "device": device,
    "operations": operations,
    "data": data,
    "paper": lambda tiny: training(1.0, 240, 8, False, tiny),
    "small": lambda tiny: training(0.25, 160, 64, False, tiny),
    "small_persistent": lambda tiny: training(0.25, 160, 64, False, tiny),
    "inference": inference,
    "paper_jit": lambda tiny: training(1.0, 240, 8, True, tiny),
    "small_jit": lambda tiny: training(0.25, 160, 64, True, tiny),
    "agreement": agreement,
}
# What TensorFlow reads as it starts.
ENVIRONMENTS = {"small_persistent": {"TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT": "1"}}


if __name__ == "__main__":
    main()

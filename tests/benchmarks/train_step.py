"""The training step against three passes written out, its memory, its rate and its data.

    python -m tests.benchmarks.train_step
    python -m tests.benchmarks.train_step --width 0.25 --side 160 --batch 8 --precision auto

The last line is one JSON object:

    device, precision, width, side, batch
    step_s, images_per_s      of one step, and images of all domains a second
    speedup_vs_three_passes   D's update, B's update and a pass for the log, each with forwards of
                              B of its own, one for each domain, over one step; median of pairs
    peak_memory_ratio         memory that a step takes beyond what stands before it, over that of
                              the three passes: of the GPU, else of a process of its own
    recompute_memory_ratio    of a step with --recompute, over that of a step without
    data_wait_share           share of the time of training that waits for a batch, examples
                              rendered anew and photos cut beside it
    tflops                    10^12 operations a second of the step, convolutions and all
    matmul_tflops, fraction_of_matmul    of matrix products in the same type, and the share of it
    render_crops_per_s, crops_per_cpu_s, threads_at_work    by the number of cores, see
                              `render_cores.py`
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported, as commands do

import numpy as np
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.iteration import Elements
from dmenet_tf.training import losses
from dmenet_tf.training.calls import Steps
from dmenet_tf.training.precision import product_type
from dmenet_tf.training.trainer import AUXILIARY, REAL
from tests.benchmarks import render_cores
from tests.benchmarks.steps import (
    build,
    configuration,
    device_name,
    flops,
    has_gpu,
    matmul_tflops,
    random_batch,
    seconds,
    wait_for,
)

# "step" and what is held against it.
MEASURED_MEMORY = ("step", "three_passes", "recompute")


def main():
    options = parse()
    config = configuration(
        options.width, options.side, options.batch, options.precision, options.jit
    )
    if options.memory_of:
        print(peak_memory(config, options.memory_of))
        return
    figures = {
        "device": device_name(),
        "precision": config.training.precision,
        "jit": options.jit,
        "width": options.width,
        "side": options.side,
        "batch": options.batch,
    }
    figures |= compared(config, options.rounds)
    figures |= memory_ratios(config)
    figures |= rates(config, figures["step_s"])
    figures |= of_the_data(config, options)
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
    print(json.dumps(rounded))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--width", type=float, default=1.0)
    add("--side", type=int, default=96, help="of a crop, pixels")
    add("--batch", type=int, default=3, help="images of each domain")
    add("--precision", default="float32", help="as of dmenet train")
    add("--jit", choices=("on", "off"), default="off")
    add("--rounds", type=int, default=8, help="pairs of a step and of three passes")
    add("--data-steps", type=int, default=12, help="steps on real data; 0: none")
    add("--crops", type=int, default=40, help="examples rendered to time the renderer; 0: none")
    add("--memory-of", choices=MEASURED_MEMORY, help=argparse.SUPPRESS)
    return parser.parse_args()


# --- the step and what it replaces --------------------------------------------------------------


class ThreePasses:
    """D's update, B's update and a pass for the log, as three separate programs."""

    def __init__(self, trainer, jit=False):
        self.trainer = trainer
        self.functions = [
            tf.function(function, jit_compile=jit, autograph=False)
            for function in (self._discriminator, self._generator, self._losses)
        ]

    def __call__(self, batch) -> dict:
        return {str(i): one(batch) for i, one in enumerate(self.functions)}

    def _estimates(self, batch, names=("synthetic", *REAL)):
        model = self.trainer.networks.blur_estimation
        return {name: model(batch[name], training=True) for name in names}

    def _logits(self, feature):
        return self.trainer.networks.discriminator(feature, training=True)

    def _discriminator_loss(self, outputs):
        terms = {
            name: losses.discriminator_loss(
                self._logits(tf.stop_gradient(outputs[name]["feature"])), name == "synthetic"
            )
            for name in ("synthetic", *REAL)
        }
        return terms["synthetic"] + (terms["labelled"] + terms["unlabelled"]) / 2

    def _generator_loss(self, outputs, batch):
        networks, lambdas = self.trainer.networks, self.trainer.weights
        synthetic, labelled = outputs["synthetic"], outputs["labelled"]
        total = losses.defocus_loss(synthetic["defocus"], batch["defocus"])
        for name in AUXILIARY:
            total += losses.auxiliary_loss(synthetic[name], batch["defocus"])
        phi = [networks.content(x) for x in (synthetic["defocus"], batch["defocus"])]
        total += lambdas.lambda_content * losses.content_loss(*phi)
        logits = networks.sharpness(labelled["defocus"], training=True)
        total += lambdas.lambda_sharpness * losses.sharpness_loss(logits, batch["blurred"])
        fooled = [losses.adversarial_loss(self._logits(outputs[n]["feature"])) for n in REAL]
        return total + lambdas.lambda_adversarial * tf.add_n(fooled) / 2

    def _discriminator(self, batch):
        outputs = self._estimates(batch)
        optimizer = self.trainer.discriminator_optimizer
        variables = self.trainer.networks.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._discriminator_loss(outputs)
            scaled = keras_versions.scale_loss(optimizer, loss)
        keras_versions.apply(optimizer, tape.gradient(scaled, variables), variables)
        return loss

    def _generator(self, batch):
        optimizer, variables = self.trainer.generator_optimizer, self.trainer.generator_variables
        with tf.GradientTape() as tape:
            loss = self._generator_loss(self._estimates(batch), batch)
            scaled = keras_versions.scale_loss(optimizer, loss)
        keras_versions.apply(optimizer, tape.gradient(scaled, variables), variables)
        return loss

    def _losses(self, batch):
        outputs = self._estimates(batch)
        return self._generator_loss(outputs, batch) + self._discriminator_loss(outputs)


def compared(config, rounds: int) -> dict:
    """Pairs, one after the other, so that both meet the same machine."""
    batch = random_batch(config)
    step = build(config).train_step
    passes = ThreePasses(build(config), config.training.jit == "on")
    times = []
    for _ in range(rounds + 1):
        times.append([seconds(lambda f=f: wait_for(f(batch))) for f in (step, passes)])
    times = np.array(times[1:])  # the first round traces
    step_s = float(np.median(times[:, 0]))
    return {
        "step_s": step_s,
        "images_per_s": 3 * config.data.batch / step_s,
        "speedup_vs_three_passes": float(np.median(times[:, 1] / times[:, 0])),
    }


def memory_ratios(config) -> dict[str, float | None]:
    """Each peak in a process of its own, since it does not go down again."""
    step, passes, recomputed = (peak_of_a_process(config, which) for which in MEASURED_MEMORY)
    known = {"peak_memory_ratio": (step, passes), "recompute_memory_ratio": (recomputed, step)}
    return {name: a / b if a and b else None for name, (a, b) in known.items()}


def peak_of_a_process(config, which: str) -> float | None:
    data, training = config.data, config.training
    words = ["--width", config.network.width, "--side", data.crop, "--batch", data.batch]
    words += ["--precision", training.precision, "--jit", training.jit, "--memory-of"]
    command = [sys.executable, "-m", "tests.benchmarks.train_step", *map(str, words)]
    done = subprocess.run([*command, which], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def peak_memory(config, which: str) -> float:
    """Bytes at the peak of three steps, beyond those that stood before them."""
    if which == "recompute":
        config = replace(config, training=replace(config.training, recompute=True))
    trainer, batch = build(config), random_batch(config)
    passes = ThreePasses(trainer, config.training.jit == "on")
    functions = passes.functions if which == "three_passes" else [trainer.train_step]
    for function in functions:  # tracing takes memory, too
        function.get_concrete_function(batch)
    before = _bytes_now()
    for _ in range(3):
        for function in functions:
            report = function(batch)
            wait_for({"loss": report} if which == "three_passes" else report)
    return _bytes_at_peak() - before


def _bytes_now() -> float:
    """Those in use, from where on the peak counts."""
    if has_gpu():
        tf.config.experimental.reset_memory_stats("GPU:0")
        return tf.config.experimental.get_memory_info("GPU:0")["current"]
    Path("/proc/self/clear_refs").write_text("5")
    return _of_the_process("VmRSS")


def _bytes_at_peak() -> float:
    if has_gpu():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return _of_the_process("VmHWM")


def _of_the_process(name: str) -> float:
    # Not of `getrusage`, whose peak a process inherits from the one that started it.
    line = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024.0 * int(line.group(1))


def rates(config, step_s: float) -> dict:
    plain = build(config)
    step = tf.function(plain.train_step.python_function, autograph=False)
    tflops = flops(step, random_batch(config)) / step_s / 1e12
    matmul = matmul_tflops(product_type(config.training.precision))
    return {"tflops": tflops, "matmul_tflops": matmul, "fraction_of_matmul": tflops / matmul}


# --- the data ---------------------------------------------------------------------------------


def of_the_data(config, options) -> dict:
    figures, data = {}, config.data
    streams = sources.open_streams(data, 0)
    if options.data_steps:
        steps, waited, start = Steps(build(config).train_step), 0.0, None
        with Elements(datasets.training_batches(streams, data, 0)) as batches:
            for number in range(options.data_steps + 1):
                before = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - before
                wait_for(steps([batch]))
                if number == 0:  # the first step traces, and meets an empty pipeline
                    waited, start = 0.0, time.perf_counter()
        figures["data_wait_share"] = waited / (time.perf_counter() - start)
    if options.crops:
        figures |= render_cores.by_cores(options.crops)
    return figures


if __name__ == "__main__":
    main()

"""Where the time of a step went: a table after a run that was profiled.

Two ways of measuring meet in it. What the loop sees is counted while it runs: waiting for batches,
calls of steps, and what lies between them. What a step is made of is timed afterwards, on the run's
last batch, by functions that do a part of it each:

    input       waiting for a batch, in the run; with --data-on device, making it besides
    forward     all losses of L_g from images, nothing updated
    backward    the same with the gradient, less `forward`
    D           D's update from given features
    optimizer   a whole step, less the three: B's and S's update, averages, the counter
    host        a call of the run, less the whole step: Python, launches, tracing and compilation
    between     logs, validation, checkpoints

With `--jit on` the parts are compiled as the step is; what `--jit auto` chose is not followed.
Timing updates the weights in memory: a run's are saved before.
"""

import statistics
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

REPEATS = 3
# Of the matrices that a device is measured by: large enough to keep it busy.
SIDE_CPU, SIDE_GPU = 1024, 8192


class Clock:
    """Seconds of a run: `waited` for batches, `called` steps; `steps` that were made."""

    def __init__(self):
        self.start, self.waited, self.called, self.steps = time.perf_counter(), 0.0, 0.0, 0

    def waiting(self, batches) -> Iterator:
        """`batches`, the time until each of them counted."""
        batches = iter(batches)
        while True:
            before = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.waited += time.perf_counter() - before
            yield batch

    def called_since(self, before: float, steps: int) -> None:
        """Counts a call of `steps` steps that began at `before` (`time.perf_counter`)."""
        self.called += time.perf_counter() - before
        self.steps += steps


def table(clock: Clock, trainer, batch: dict, dtype="float32", jit=False) -> str:
    """The table of a run, some lines of text.

    Args:
        batch: one that the steps were made on.
        dtype: of the step's products, against which its rate is held.
        jit: whether the step is compiled by XLA.
    """
    rows = seconds_of_a_step(clock, trainer, batch, jit)
    batch = trainer.prepare(batch)
    total = sum(rows.values())
    lines = [f"a step took {1e3 * total:.1f} ms:"]
    lines += [f"  {name:<10}{1e3 * s:9.1f} ms {s / total:7.1%}" for name, s in rows.items()]
    made = sum(rows[name] for name in ("forward", "backward", "D", "optimizer"))
    operations = flops(_graph(trainer.train_step.python_function), batch)
    rate, of_products = operations / made / 1e12, matmul_tflops(dtype)
    lines.append(
        f"  {operations / 1e9:.1f} GFLOP a step, {rate:.3g} TFLOP/s without input, host and "
        f"between: {rate / of_products:.0%} of matrix products' {of_products:.3g} in {dtype}"
    )
    return "\n".join(lines)


def seconds_of_a_step(clock: Clock, trainer, batch: dict, jit=False) -> dict[str, float]:
    """{row of the table: seconds a step}; see the module."""
    steps = max(clock.steps, 1)
    elapsed = time.perf_counter() - clock.start
    parts = _parts_of_a_step(trainer, batch, jit)
    host = max(0.0, clock.called / steps - sum(parts.values()))
    return {
        **parts,
        "input": clock.waited / steps + parts["input"],
        "host": host,
        "between": max(0.0, elapsed - clock.waited - clock.called) / steps,
    }


def _parts_of_a_step(trainer, batch: dict, jit: bool) -> dict[str, float]:
    """The same functions of the trainer that its step is made of, each in a graph of its own."""
    names = ("synthetic", *trainer.real)
    prepare = _graph(trainer.prepare, jit)
    batch, made = prepare(batch), seconds(prepare, batch)

    def losses():
        estimates = trainer._estimate(batch, names)
        synthetic, real = estimates["synthetic"], {name: estimates[name] for name in trainer.real}
        named = trainer._map_losses(synthetic, batch["defocus"])
        return trainer._total(named | trainer._calibration_losses(synthetic, real, batch))

    def gradients():
        with tf.GradientTape() as tape:
            total = losses()
        found = tape.gradient(total, trainer.generator_variables)
        return [tf.reduce_sum(x) for x in found if x is not None]

    def features():
        return {n: {"feature": x["feature"]} for n, x in trainer._estimate(batch, names).items()}

    def update_of_d(synthetic, real):
        return trainer._update_discriminator(synthetic, real)[0]

    forward, gradient = seconds(_graph(losses, jit)), seconds(_graph(gradients, jit))
    of_d, step = 0.0, seconds(trainer.train_step, batch)
    if trainer.networks.discriminator is not None:
        estimates = _graph(features)()
        of_d = seconds(_graph(update_of_d, jit), estimates.pop("synthetic"), estimates)
    return {
        "input": made,
        "forward": forward,
        "backward": max(0.0, gradient - forward),
        "D": of_d,
        "optimizer": max(0.0, step - gradient - of_d),
    }


def _graph(function, jit=False):
    return tf.function(function, autograph=False, jit_compile=jit)


def seconds(function, *arguments) -> float:
    """Of a call, the median; the first one, which traces, is not counted."""
    times = []
    for _ in range(REPEATS + 1):
        before = time.perf_counter()
        for value in tf.nest.flatten(function(*arguments)):
            value.numpy()  # until then, a GPU may still be at work
        times.append(time.perf_counter() - before)
    return statistics.median(times[1:])


def flops(function, *arguments) -> int:
    """Floating-point operations of one call, as TensorFlow counts them; shapes must be known.

    A multiplication and an addition are two. Those of compiled functions are not counted: give the
    plain one.
    """
    graph = function.get_concrete_function(*arguments).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel("ERROR")  # it warns that what the profiler itself calls is deprecated
    try:
        with graph.as_default():
            counted = profiler.profile(graph, options=options.with_empty_output().build())
    finally:
        logger.setLevel(before)
    return counted.total_float_ops


def matmul_tflops(dtype: str, size: int = 0, repeats: int = 10) -> float:
    """10^12 operations a second of products of two square matrices; the median of three calls."""
    size = size or (SIDE_GPU if tf.config.list_physical_devices("GPU") else SIDE_CPU)
    rng = np.random.default_rng(0)
    # Of this size, a product of products stays of the strength of its factors.
    start = tf.cast(rng.standard_normal((size, size)) / size**0.5, dtype)

    @tf.function
    def products(left):
        for _ in range(repeats):
            left = left @ start
        return tf.reduce_sum(tf.cast(left, tf.float32))

    return 2 * size**3 * repeats / seconds(products, start) / 1e12

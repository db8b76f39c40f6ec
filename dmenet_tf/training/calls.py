"""Steps as calls of TensorFlow: several in one call, compiled where that is measured to be faster.

A step of many small kernels leaves a GPU waiting for Python and for their launches. Several steps
in one call leave Python out, XLA makes few kernels of many; neither changes what a step computes.
"""

import time
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from dmenet_tf import console
from dmenet_tf.config import TrainingConfig

# A call to trace and to let libraries choose their algorithms, then what is timed.
WARM_UP_CALLS, TIMED_STEPS = 2, 10
# Below so many seconds of training that are left, no compilation pays for itself.
LEAST_SECONDS_LEFT = 600.0


def grouped(batches: Iterable, step: int, most: int, stops: Callable[[int], bool]) -> Iterator:
    """Lists of up to `most` batches of equal shapes, each to be one call.

    `stops(step)`: whether there is something to do once so many steps are made; a call ends there.
    """
    group = []
    for batch in batches:
        if group and _shapes(batch) != _shapes(group[0]):
            yield group
            group = []
        group.append(batch)
        step += 1
        if len(group) == most or stops(step):
            yield group
            group = []
    if group:
        yield group


def _shapes(batch) -> list:
    return [tuple(value.shape) for value in tf.nest.flatten(batch)]


def is_jit_measured(training: TrainingConfig) -> bool:
    """Whether `--jit auto` is to be settled by measurement.

    On a GPU alone: on processors the compiled step was slower. Not where a run must repeat another
    bit for bit, nor where every operation is watched for NaN, nor with several replicas, which
    wait for each other within a step.
    """
    if training.jit != "auto" or training.deterministic or training.debug_nan:
        return False
    if training.strategy != "none":
        return False
    return bool(tf.config.list_physical_devices("GPU"))


class Steps:
    """A step function on lists of batches; a list of several is one call, a loop on the device.

    step: tf.function, batch -> {name: scalar}. A call returns that of the last batch.
    """

    def __init__(self, step):
        self._step = step
        self._loop = tf.function(self._many, autograph=False)

    def __call__(self, batches: list) -> dict:
        if len(batches) == 1:
            return self._step(batches[0])
        stacked = tf.nest.map_structure(lambda *values: tf.stack(values), *batches)
        # One trace for any number of steps.
        spec = tf.nest.map_structure(
            lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype), stacked
        )
        return self._loop.get_concrete_function(spec)(stacked)

    def _many(self, stacked) -> dict:
        def at(index):
            return tf.nest.map_structure(lambda value: value[index], stacked)

        spec = tf.nest.map_structure(lambda v: tf.TensorSpec(v.shape[1:], v.dtype), stacked)
        losses = self._step.get_concrete_function(spec).structured_outputs
        start = {name: tf.zeros(value.shape, value.dtype) for name, value in losses.items()}
        count = tf.shape(tf.nest.flatten(stacked)[0])[0]
        _, last = tf.while_loop(
            lambda index, _: index < count,
            lambda index, _: (index + 1, self._step(at(index))),
            (tf.constant(0), start),
            parallel_iterations=1,
        )
        return last


class FasterSteps:
    """`Steps`, plain at first; compiled from then on when that was measured to be faster.

    Its trials are steps of the training. Compiling takes a minute or more: it is not tried where
    little is left to do.

    Args:
        plain, compiled: the two, functions of lists of batches.
        steps_left: of the training.
        seconds_left: after which it ends, if it does.
    """

    def __init__(
        self,
        plain,
        compiled,
        steps_left: int,
        seconds_left: float = float("inf"),
        clock=time.perf_counter,
    ):
        self._plain, self._compiled, self._clock = plain, compiled, clock
        self._steps_left, self._seconds_left = steps_left, seconds_left
        self._trial = self._measure()
        self._chosen = next(self._trial)

    def __call__(self, batches: list) -> dict:
        if self._trial is None:
            return self._chosen(batches)
        try:
            report = self._chosen(batches)
        except tf.errors.OpError as error:
            if self._chosen is self._plain:
                raise
            line = (error.message or type(error).__name__).strip().splitlines()[0]
            console.note(f"XLA cannot compile the step, which goes on without: {line}")
            self._trial, self._chosen = None, self._plain
            return self._plain(batches)
        self._steps_left -= len(batches)
        try:
            self._chosen = self._trial.send((report, len(batches)))
        except StopIteration as end:
            self._trial, self._chosen = None, end.value
        return report

    def _measure(self):
        """Yields what runs next, is sent its report and number of steps; returns the choice."""
        plain = yield from self._timed(self._plain)
        if min(plain * self._steps_left, self._seconds_left) < LEAST_SECONDS_LEFT:
            return self._plain
        compiled = yield from self._timed(self._compiled)
        chosen = self._compiled if compiled < plain else self._plain
        console.note(
            f"a step takes {1e3 * plain:.1f} ms, compiled {1e3 * compiled:.1f} ms: "
            f"--jit {'on' if chosen is self._compiled else 'off'}"
        )
        return chosen

    def _timed(self, function):
        """Seconds a step. A report is read where a time is taken: only then is the step done."""
        for _ in range(WARM_UP_CALLS):
            report, _ = yield function
        _wait_for(report)
        start, done = self._clock(), 0
        while done < TIMED_STEPS:
            report, count = yield function
            done += count
        _wait_for(report)
        return (self._clock() - start) / done


def _wait_for(report: dict) -> None:
    for value in report.values():
        float(value)

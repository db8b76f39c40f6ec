"""Steps in calls: where a call ends, that it changes nothing, and which kind is chosen."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.config import TrainingConfig
from dmenet_tf.training.calls import (
    LEAST_SECONDS_LEFT,
    TIMED_STEPS,
    FasterSteps,
    Steps,
    grouped,
    is_jit_measured,
)
from tests.support.training import TRAINING, make_batch, make_trainer


def batch(side=2):
    return {"x": np.zeros((1, side, side))}


def sizes(batches, step, most, stops=()):
    return [len(group) for group in grouped(batches, step, most, lambda done: done in stops)]


@pytest.mark.parametrize(
    "step, most, stops, expected",
    [
        (0, 1, {3}, [1] * 7),
        (0, 4, set(), [4, 3]),
        (0, 4, {3, 6}, [3, 3, 1]),
        (2, 4, {3, 6}, [1, 3, 3]),
        (0, 100, {7}, [7]),
    ],
)
def test_a_call_ends_where_there_is_something_to_do(step, most, stops, expected):
    assert sizes([batch()] * 7, step, most, stops) == expected


def test_a_call_has_batches_of_one_shape():
    assert sizes([batch(2), batch(2), batch(4), batch(4), batch(4)], 0, 8) == [2, 3]


def test_batches_are_drawn_when_they_are_needed():
    drawn = []

    def batches():
        for i in range(5):
            drawn.append(i)
            yield batch()

    next(grouped(batches(), 0, 2, lambda step: False))
    assert drawn == [0, 1]


@pytest.mark.parametrize("jit", [False, True])
def test_many_steps_in_one_call_are_those_steps(jit):
    total = tf.Variable(1.0)

    @tf.function(jit_compile=jit)
    def step(batch):
        total.assign(2.0 * total + tf.reduce_sum(batch["x"]))  # another order, another number
        return {"total": total.read_value(), "sum": tf.reduce_sum(batch["x"])}

    steps = Steps(step)
    batches = [{"x": tf.constant([float(i), 1.0])} for i in range(5)]
    report = steps(batches[:3])
    # 1 -> 2 + 1 -> 6 + 2 -> 16 + 3
    assert float(report["total"]) == 19 and float(report["sum"]) == 3
    assert float(steps(batches[3:])["total"]) == 2 * (2 * 19 + 4) + 5
    assert float(steps([{"x": tf.constant([0.0, 1.0])}])["total"]) == 2 * 89 + 1
    # One trace for any number of steps.
    assert steps._loop.experimental_get_tracing_count() == 1


@pytest.mark.process
def test_a_trainer_learns_the_same_in_one_call():
    batches = [make_batch(seed) for seed in range(3)]
    trainers = [make_trainer("BS", training=replace(TRAINING, average=0.9)) for _ in range(2)]
    one, many = trainers
    for each in batches:
        expected = one.train_step(each)
    report = many.calls(pretraining=False, steps=3)(batches)
    assert int(many.step) == 3
    for name, value in expected.items():
        # The same operations in another graph, which may fuse some of them.
        assert float(report[name]) == pytest.approx(float(value), rel=1e-4), name


class Clock:
    """A clock that the steps themselves move, and what was called."""

    def __init__(self, plain, compiled):
        self.now, self.called, self.seconds = 0.0, [], {"plain": plain, "compiled": compiled}

    def __call__(self):
        return self.now

    def function(self, name):
        def steps(batches):
            self.called.append(name)
            self.now += self.seconds[name] * len(batches)
            return {"L_g": 1.0}

        return steps


def run_trial(plain, compiled, steps, most=1):
    clock = Clock(plain, compiled)
    faster = FasterSteps(clock.function("plain"), clock.function("compiled"), steps, clock=clock)
    for _ in range(4 * TIMED_STEPS):
        faster([None] * most)
    return clock.called


MANY = int(10 * LEAST_SECONDS_LEFT)


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize(
    "plain, compiled, steps, expected",
    [
        (1.0, 0.5, MANY, "compiled"),
        (1.0, 1.5, MANY, "plain"),
        # Little left to do: compiling is not even tried.
        (1.0, 0.5, int(LEAST_SECONDS_LEFT), "plain"),
    ],
)
def test_the_faster_steps_are_chosen(plain, compiled, steps, expected, most, capsys):
    called = run_trial(plain, compiled, steps, most)
    assert called[0] == "plain" and called[-1] == expected
    assert ("compiled" in called) == (steps == MANY)
    assert ("--jit" in capsys.readouterr().err) == (steps == MANY)


def test_a_step_that_does_not_compile_goes_on_without(capsys):
    clock = Clock(1.0, 1.0)

    def fails(batches):
        raise tf.errors.UnimplementedError(None, None, "no such kernel\nand a long trace")

    faster = FasterSteps(clock.function("plain"), fails, MANY, clock=clock)
    for _ in range(3 * TIMED_STEPS):
        assert faster([None]) == {"L_g": 1.0}
    assert capsys.readouterr().err.count("no such kernel") == 1


def test_an_error_of_a_plain_step_is_an_error():
    def fails(batches):
        raise tf.errors.InvalidArgumentError(None, None, "bad")

    with pytest.raises(tf.errors.InvalidArgumentError):
        FasterSteps(fails, fails, MANY)([None])


@pytest.mark.parametrize("gpus", [[], ["gpu"]])
def test_auto_measures_on_a_gpu_alone(gpus, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert is_jit_measured(TrainingConfig()) == bool(gpus)
    for settled in ({"jit": "on"}, {"jit": "off"}, {"deterministic": True}, {"debug_nan": True}):
        assert not is_jit_measured(TrainingConfig(**settled))

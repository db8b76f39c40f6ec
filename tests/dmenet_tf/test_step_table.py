"""Where a step's time went: what is counted, and that every part is timed."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.training import step_table
from dmenet_tf.training.step_table import Clock
from tests.support.training import make_batch, make_trainer


@pytest.fixture
def ticks(monkeypatch):
    """A clock that shows, call after call, the seconds in the list."""
    shown = []
    monkeypatch.setattr(step_table.time, "perf_counter", lambda: shown.pop(0))
    return shown


def test_waiting_and_calls_are_counted_apart(ticks):
    ticks[:] = [0.0, 1.0, 1.5, 9.0, 9.25, 12.0, 12.5]
    clock = Clock()
    batches = clock.waiting([1, 2])
    # 0.5 s for the first batch, 0.25 s for the second, 0.5 s until there was no more.
    assert list(batches) == [1, 2] and clock.waited == 1.25
    ticks[:] = [24.0]
    clock.called_since(20.0, 2)
    assert (clock.called, clock.steps) == (4.0, 2)


def test_rows_add_up_to_the_run(ticks, monkeypatch):
    parts = {"input": 0.125, "forward": 1.0, "backward": 2.0, "D": 0.5, "optimizer": 0.125}
    monkeypatch.setattr(step_table, "_parts_of_a_step", lambda *_: parts)
    ticks[:] = [0.0, 60.0]
    clock = Clock()
    clock.waited, clock.called, clock.steps = 10.0, 40.0, 10
    rows = step_table.seconds_of_a_step(clock, None, {})
    # 60 s: 10 waited, 40 in calls of 10 steps, of which 37.5 in the steps' parts, 10 between.
    assert rows == {**parts, "input": 1.125, "host": 0.25, "between": 1.0}
    assert sum(rows.values()) == pytest.approx(60.0 / 10)


@pytest.mark.parametrize("parts", ["BDCS", "B"])
def test_every_part_of_a_step_is_timed(parts, monkeypatch):
    monkeypatch.setattr(step_table, "REPEATS", 1)
    monkeypatch.setattr(step_table, "SIDE_CPU", 64)
    trainer, batch = make_trainer(parts=parts), make_batch()
    text = step_table.table(Clock(), trainer, batch)
    for name in ("input", "forward", "backward", "D", "optimizer", "host", "between"):
        assert f"\n  {name} " in text
    assert "GFLOP a step" in text and " in float32" in text


def test_operations_of_a_product_are_counted():
    product = tf.function(lambda a, b: a @ b)
    assert step_table.flops(product, np.ones((2, 3), "f"), np.ones((3, 5), "f")) == 2 * 2 * 3 * 5

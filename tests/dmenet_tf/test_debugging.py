"""The operation that gives a NaN is named, and a profile begins and ends where it should."""

import pytest
import tensorflow as tf

from dmenet_tf.training import debugging


def logarithm(batch):
    return {"loss": tf.reduce_sum(tf.math.log(batch["x"], name="of_the_batch"))}


def test_a_step_stops_at_the_operation_that_gives_a_nan():
    step = tf.function(debugging.checked(logarithm), autograph=False)
    assert float(step({"x": tf.constant([1.0, 1.0])})["loss"]) == 0
    with pytest.raises(tf.errors.InvalidArgumentError, match="Infinity or NaN.*\n*.*Log"):
        step({"x": tf.constant([1.0, -1.0])})


def test_nothing_but_the_step_is_watched():
    unwatched = tf.function(logarithm, autograph=False)
    tf.function(debugging.checked(logarithm), autograph=False)({"x": tf.ones(2)})
    assert not float(unwatched({"x": tf.constant([-1.0])})["loss"]) <= 0  # NaN, and no error


@pytest.mark.parametrize(
    "reached, expected",
    [
        ([0, 1, 2, 3, 4, 5], ["start 2", "stop 4"]),
        ([0, 2, 4], ["start 2", "stop 4"]),
        ([3, 5], ["start 3", "stop 5"]),  # resumed within
        ([4, 5], []),
        ([0, 1], []),
    ],
)
def test_a_profile_of_steps_2_to_4(reached, expected, monkeypatch):
    seen = []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda folder: seen.append(f"start {step}"))
    monkeypatch.setattr(profiler, "stop", lambda: seen.append(f"stop {step}"))
    profile = debugging.Profile("run", (2, 4))
    assert [profile.at(step) for step in (1, 2, 3, 4)] == [False, True, False, True]
    for step in reached:
        profile.follow(step)
    assert seen == expected
    profile.end()
    assert seen == expected


def test_a_profile_that_is_cut_short_ends(monkeypatch):
    seen = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: seen.append(folder))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: seen.append("stop"))
    profile = debugging.Profile("run", (0, 9))
    profile.follow(0)
    profile.end()
    assert seen == ["run", "stop"]
    nothing = debugging.Profile("run", None)
    nothing.follow(0)
    nothing.end()
    assert not nothing.at(0) and len(seen) == 2

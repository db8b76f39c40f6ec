"""A run that ends by the clock: here one that every look at it moves by ten seconds."""

import functools
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import train
from dmenet_tf.config import TrainingConfig
from dmenet_tf.training import trainer
from dmenet_tf.training.schedules import LearningRate
from dmenet_tf.training.time_limit import TimeLimit

OPTIONS = [
    "--preset", "tiny", "--parts", "B", "--width", "0.03", "--validation-examples", "1",
    "--procedural-scenes", "8", "--steps", "1000", "--log-every", "1", "--schedule", "cosine",
    "--checkpoint-every", "1000", "--validate-every", "1000",
]  # fmt: skip


def ticking():
    times = itertools.count(step=10.0)
    return lambda: next(times)


def test_the_seconds_of_all_sessions_count():
    limit = TimeLimit(1.0, ticking())
    assert not limit.look() and limit.left == 60  # not started: no time passes
    limit.start()  # looks twice at the clock
    assert limit.left == 50 and float(limit.share) == pytest.approx(1 / 6)
    resumed = TimeLimit(2.0, ticking())
    resumed.seconds.assign(limit.seconds)
    resumed.start()
    assert resumed.left == 100 and not resumed.look()
    for _ in range(20):
        over = resumed.look()
    assert over and resumed.left < 0 and float(resumed.share) == 1


def test_the_cosine_follows_what_is_further_on():
    share = tf.Variable(0.5)
    schedule = LearningRate(1.0, "cosine", 100, decay_steps=10, decay=0.5, share=share)
    rates = [float(schedule(step)) for step in (0, 50, 100 * 2 / 3)]
    np.testing.assert_allclose(rates, [0.5, 0.5, 0.25], rtol=1e-5)
    share.assign(1.0)
    assert float(schedule(0)) == 0
    assert LearningRate(**schedule.get_config()).get_config() == schedule.get_config()


@pytest.mark.parametrize(
    "options", [{"minutes": -1}, {"minutes": float("inf")}, {"minutes": 5, "deterministic": True}]
)
def test_what_cannot_be_kept_is_refused(options):
    with pytest.raises(ValueError, match=r"training\.minutes"):
        TrainingConfig(**options)


@pytest.mark.process  # it trains
def test_a_run_ends_with_its_minutes_and_goes_on_with_more(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "TimeLimit", functools.partial(TimeLimit, clock=ticking()))
    run = tmp_path / "run"

    def steps_of(name):
        return [json.loads(line)["step"] for line in (run / name).read_text().splitlines()]

    assert train.main([*OPTIONS, "--run", str(run), "--minutes", "1"]) == 0
    # 10 s have passed when it starts; after five steps 60 have.
    assert steps_of("losses.jsonl") == [1, 2, 3, 4, 5] and steps_of("validation.jsonl") == [5]
    assert [path.name for path in (run / "checkpoints").glob("*.index")] == ["ckpt-5.index"]
    assert "the time, 1 min, is up at step 5" in capsys.readouterr().err
    assert train.main(["--run", str(run), "--resume"]) == 0
    assert "has used its 1 min" in capsys.readouterr().out and len(steps_of("losses.jsonl")) == 5
    assert train.main(["--run", str(run), "--resume", "--minutes", "1.5"]) == 0
    assert steps_of("losses.jsonl") == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.process  # it trains
def test_a_run_that_began_without_a_limit_is_resumed_with_one(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "TimeLimit", functools.partial(TimeLimit, clock=ticking()))
    run = tmp_path / "run"
    assert train.main([*OPTIONS, "--run", str(run), "--steps", "2"]) == 0
    assert train.main(["--run", str(run), "--resume", "--steps", "1000", "--minutes", "0.5"]) == 0
    # 10 s have passed when it goes on; after two steps 30 have.
    steps = [json.loads(line)["step"] for line in (run / "losses.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]

"""Options of how a run computes, which change nothing of what it learns."""

import json

import pytest

from dmenet_tf import config_file as configuration
from dmenet_tf import train

pytestmark = pytest.mark.process  # it trains

# B alone. Something is due after steps 4, 5 (pretrained), 8, 9 and 10: calls of 4, 1, 3, 1 and 1.
OPTIONS = [
    "--preset", "tiny", "--parts", "B", "--width", "0.03", "--validation-examples", "1",
    "--procedural-scenes", "8", "--steps", "10", "--pretrain-steps", "5", "--log-every", "4",
    "--checkpoint-every", "9", "--validate-every", "9",
]  # fmt: skip


def lines(run, name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run step by step, and with up to four steps a call and all that watches them."""
    folder = tmp_path_factory.mktemp("runs")
    single, called = folder / "single", folder / "called"
    assert train.main([*OPTIONS, "--run", str(single)]) == 0
    watched = ["--steps-per-call", "4", "--profile", "6:8", "--precision", "tf32"]
    assert train.main([*OPTIONS, "--run", str(called), *watched]) == 0
    return single, called


def test_several_steps_a_call_are_the_same_run(runs):
    for name in ("losses.jsonl", "validation.jsonl"):
        single, called = (lines(run, name) for run in runs)
        assert len(single) == len(called) > 1
        for left, right in zip(single, called, strict=True):
            # The same operations on the same numbers, in graphs that may be optimised otherwise:
            # ten steps of Adam, whose steps are as long for a gradient that is rounding noise.
            assert left == pytest.approx(right, rel=1e-2), name


def test_it_resumes_from_the_checkpoint_of_a_step_within(runs):
    run = runs[1]
    checkpoints = sorted(path.name for path in (run / "checkpoints").glob("*.index"))
    assert checkpoints == ["ckpt-10.index", "ckpt-9.index"]
    assert train.main(["--run", str(run), "--resume", "--steps", "12"]) == 0
    assert [line["step"] for line in lines(run, "losses.jsonl")] == [4, 8, 10, 12]
    assert configuration.load(run / "config.json").training.steps_per_call == 4


def test_a_profile_is_where_tensorboard_looks_for_it(runs):
    single, called = (list(run.glob("plugins/profile/*/*.xplane.pb")) for run in runs)
    assert len(called) == 1 and called[0].stat().st_size > 0 and not single


def test_the_operation_that_gives_a_nan_is_named(tmp_path, capsys):
    options = [*OPTIONS, "--run", str(tmp_path / "run"), "--debug-nan"]
    # Adam's first step is as long as the learning rate: the next forward overflows.
    assert train.main([*options, "--learning-rate", "1e30"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:") and 'Infinity or NaN in output 0 of graph op "' in error

"""Several devices: who takes what, that replicas learn what one device does, and refusals."""

import functools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.config import TrainingConfig
from dmenet_tf.presets import PRESETS
from dmenet_tf.training import distribution, failures, run
from dmenet_tf.training.calls import is_jit_measured
from dmenet_tf.training.distribution import Group, Worker, this_worker

CLUSTER = {"worker": ["a:1", "b:1", "c:1"]}
STEPS = 3
# Of one step: 2^-24 a number, of sums and differences through some thirty layers; measured: 7e-6.
ROUNDING = 1e-4


def named(cluster, **task) -> dict:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_tf_config_names_the_worker():
    given = named(CLUSTER, type="worker", index=2)
    assert this_worker("multi-worker", given) == Worker(2, 3)
    assert not this_worker("multi-worker", given).is_chief
    assert this_worker("multi-worker", named(CLUSTER, type="worker", index=0)).is_chief
    # Of a cluster that has nothing to do with this training.
    assert this_worker("mirrored", given) == this_worker("none", given) == Worker(0, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_CONFIG": "no JSON"},
        {"TF_CONFIG": "[]"},
        {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'},
        named(CLUSTER, type="worker", index=3),
        named(CLUSTER, type="worker", index=-1),
        named(CLUSTER, type="chief", index=0),
        named({**CLUSTER, "ps": ["d:1"]}, type="worker", index=0),
        named({**CLUSTER, "chief": ["d:1"]}, type="worker", index=0),
    ],
)
def test_another_tf_config_is_refused_before_any_work(environment, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tiny = PRESETS["tiny"].config
    config = replace(tiny, training=replace(tiny.training, strategy="multi-worker"))
    with pytest.raises(ValueError, match="needs TF_CONFIG in the environment, such as") as error:
        run.train(tmp_path / "run", config)
    received = environment.get("TF_CONFIG", "none")
    assert str(error.value).endswith(f"received {received}") and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, rule",
    [
        ({"jit": "on"}, "jit 'on' needs training.strategy 'none'"),
        ({"debug_nan": True}, "debug_nan needs training.strategy 'none'"),
        ({"cached_crops": 4}, "cached_crops needs training.strategy 'none'"),
    ],
)
@pytest.mark.parametrize("strategy", ["mirrored", "multi-worker"])
def test_what_several_devices_do_not_do(options, rule, strategy):
    TrainingConfig(**options)
    with pytest.raises(ValueError, match=f"{rule}.*received '{strategy}'"):
        TrainingConfig(strategy=strategy, **options)


def test_xla_is_not_tried_with_replicas(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert is_jit_measured(TrainingConfig())
    assert not is_jit_measured(TrainingConfig(strategy="mirrored"))


def test_one_device_has_no_share_and_exchanges_nothing():
    group = Group.of("none", Worker(), 3)
    assert group.share is None and group.worker.is_chief
    values = {"a": tf.constant(1.0)}
    assert distribution.mean(values) is values
    assert distribution.once(lambda a, b: a + b, 1, 2) == 3
    group.begin_alike("", None)
    group.wait()


class TwoReplicas:
    num_replicas_in_sync = 2


def test_a_batch_is_divided_without_remainder(monkeypatch):
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: TwoReplicas())
    share = Group.of("mirrored", Worker(), 4).share
    assert share == (0, 2, 2) and share.of(4) == 4
    with pytest.raises(ValueError, match="must be a multiple of their number; received 3 for 2"):
        Group.of("mirrored", Worker(), 3)


def test_the_error_of_a_lost_worker_is_one_line():
    lost = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: ...\nmore")
    assert failures.explain(lost, None) == distribution.GONE
    internal = tf.errors.InternalError(None, None, "Collective ops is aborted by: ...")
    assert failures.explain(internal, None) == distribution.GONE
    other = tf.errors.InvalidArgumentError(None, None, "no such size\nand a trace")
    assert failures.explain(other, None) == "no such size"


def test_interrupts_wait_for_the_end_of_a_step():
    import signal

    before, steps = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(KeyboardInterrupt), distribution.interrupts_postponed():
        signal.raise_signal(signal.SIGTERM)
        steps.append("whole")
    assert steps == ["whole"] and signal.getsignal(signal.SIGTERM) is before
    # Where the step itself fails, that is what is told.
    with pytest.raises(ValueError, match="failed"), distribution.interrupts_postponed():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("failed")


# --- two replicas beside one device ---------------------------------------------------------------


@pytest.fixture(scope="module")
def two_replicas(tmp_path_factory):
    """What a part of `tests/support/two_replicas.py` found."""
    folder = tmp_path_factory.mktemp("replicas")

    @functools.cache
    def found(part: str):
        out = folder / f"{part}.npz"
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.two_replicas", out, part]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(np.load(out))

    return found


def of(found: dict, prefix: str) -> dict:
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


@pytest.mark.process
def test_two_replicas_learn_what_one_device_does(two_replicas):
    """The same global batches, normalised in the same groups; D, B, S and all that is kept."""
    found = two_replicas("compared")
    assert found["alike"] and found["differing"] == 0
    for step in range(STEPS):
        # From the same state, one step is the same; `found` has the states after it.
        one, two = (of(found, f"{step}/{which}/") for which in ("again", "two"))
        before = of(found, f"{step - 1}/two/" if step else "start/")
        assert one.keys() == two.keys() and one["step"] == two["step"] == step + 1
        assert {"report/L_g", "report/L_d", "report/sharpness"} <= set(one)
        for name in one:
            if name.startswith("report/"):
                assert two[name] == pytest.approx(one[name], rel=ROUNDING), (step, name)
        for part, names in parts_of(one).items():
            moved = norm(one[name] - before[name] for name in names)
            apart = norm(two[name] - one[name] for name in names)
            assert moved > 0 and apart <= ROUNDING * moved, (step, part)


@pytest.mark.process
def test_in_three_steps_they_stay_as_close_as_rounding_lets_them(two_replicas):
    """Closer than one device to itself where each weight begins with another last bit."""
    found = two_replicas("compared")
    reports = [of(found, f"{STEPS - 1}/{w}/report/") for w in ("one", "two", "rounded")]
    for name, value in reports[0].items():
        carried = max(abs(reports[2][other] / reports[0][other] - 1) for other in reports[0])
        assert reports[1][name] == pytest.approx(value, rel=float(carried)), name
    one, two, rounded = (of(found, f"{STEPS - 1}/{w}/") for w in ("one", "two", "rounded"))
    for part, names in parts_of(one).items():
        apart = norm(two[name] - one[name] for name in names)
        assert apart <= norm(rounded[name] - one[name] for name in names), part


def parts_of(state: dict) -> dict[str, list[str]]:
    """Names of a state's arrays by network, by optimizer and what it is of, and so on.

    Moving statistics, which move much farther than weights, are by themselves.
    """
    parts = {}
    for name in state:
        if name != "step" and not name.startswith("report/"):
            kind = name.rpartition("_")[2] if "optimizer/" in name else "moving_" in name
            parts.setdefault((name.partition("/")[0], kind), []).append(name)
    return parts


def norm(arrays) -> float:
    return float(np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays)))


@pytest.mark.slow
def test_an_overflow_on_one_replica_leaves_out_the_step_of_all(two_replicas):
    found = of(two_replicas("overflowing"), "float16/")
    assert found["differing"] == 0
    assert [int(found[f"{step}/skipped"]) for step in range(STEPS)] == [0, 1, 1]
    assert [bool(found[f"{step}/moved"]) for step in range(STEPS)] == [True, False, True]
    scales = [float(found[f"{step}/scale"]) for step in range(STEPS)]
    assert scales[1:] == [scales[0] / 2, scales[0] / 2]


@pytest.mark.slow
def test_several_steps_a_call_are_those_steps(two_replicas):
    found = two_replicas("several_a_call")
    single, called = of(found, "single/"), of(found, "called/")
    assert single["step"] == called["step"] == STEPS
    for name, value in single.items():
        # The same operations in another graph, which may fuse some of them.
        assert called[name] == pytest.approx(value, rel=1e-3), name

"""Two real processes that train together over TF_CONFIG on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest
import tensorflow as tf

from data_gen.exit_codes import FAILED, OK

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "dmenet_tf.train"]
# B alone, which is traced quickly, on a few scenes.
TINY = [
    "--preset", "tiny", "--width", "0.03", "--parts", "B", "--crop", "16", "--batch", "2",
    "--validation-examples", "1", "--procedural-scenes", "8", "--deterministic", "--seed", "3",
]  # fmt: skip
# Only for programs that never end: the tests would not either.
LIMIT_S = 900


class Workers:
    """The processes of one cluster, on ports that were free."""

    def __init__(self, *options: list):
        """options: those of each worker."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in options]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        self.processes = []
        for index, arguments in enumerate(options):
            task = {"type": "worker", "index": index}
            cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
            self.processes.append(
                subprocess.Popen(
                    [*COMMAND, *map(str, arguments)],
                    env=os.environ | {"TF_CONFIG": cluster},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def end(self) -> list:
        """(exit code, what was printed, errors) of each, once all have ended."""
        outputs = [process.communicate(timeout=LIMIT_S) for process in self.processes]
        return [(p.returncode, *out) for p, out in zip(self.processes, outputs, strict=True)]


def lines(run) -> list:
    file = run / "losses.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_steps(workers: Workers, run, steps: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while len(lines(run)) < steps:
        assert all(process.poll() is None for process in workers.processes)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def error_in(text: str) -> str:
    assert "Traceback" not in text, text
    (line,) = (line for line in text.splitlines() if line.startswith("error: "))
    return line


def checkpoint(run) -> dict:
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def train_straight(run, steps: int) -> list:
    """The errors of both; the second worker is given a folder of its own, to leave it alone."""
    options = [*TINY, "--strategy", "multi-worker", "--steps", steps, "--checkpoint-every", "20",
               "--validate-every", steps]  # fmt: skip
    second = run.with_name(f"{run.name}-second")
    with Workers([*options, "--run", run], [*options, "--run", second]) as workers:
        ended = workers.end()
    assert [code for code, *_ in ended] == [OK, OK], ended
    assert not second.exists() and "step" not in ended[1][2]
    return ended


def test_a_killed_worker_ends_all_and_they_resume_exactly(tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train_straight(straight, 40)
    assert [line["step"] for line in lines(straight)] == list(range(1, 41))
    assert len(list(straight.glob("events.out.tfevents.*"))) == 1
    options = [*TINY, "--strategy", "multi-worker", "--steps", 40, "--checkpoint-every", "20",
               "--validate-every", 40, "--run", broken]  # fmt: skip
    with Workers(options, options) as workers:
        wait_for_steps(workers, broken, 22)
        workers.processes[1].send_signal(signal.SIGKILL)
        (code, _, errors), _ = workers.end()
    assert code == FAILED and 22 <= len(lines(broken)) < 40
    line = error_in(errors)
    assert "one of them is gone: start all of them again, with --resume" in line
    assert line.endswith(f"the last checkpoint is kept: {broken / 'checkpoints' / 'ckpt-20'}")
    resumed = ["--run", broken, "--resume"]
    with Workers(resumed, resumed) as workers:
        assert [code for code, *_ in workers.end()] == [OK, OK]
    assert lines(broken) == lines(straight)
    left, right = checkpoint(straight), checkpoint(broken)
    assert left.keys() == right.keys() and len(left) > 200
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_two_workers_are_two_replicas_of_one_machine(tmp_path):
    """The losses of the first steps, on the same examples in the same groups."""
    workers, replicas = tmp_path / "workers", tmp_path / "replicas"
    train_straight(workers, 3)
    code = (
        "import sys, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(\n"
        "    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "from dmenet_tf import train\n"
        "sys.exit(train.main(sys.argv[1:]))\n"
    )
    options = [*TINY, "--strategy", "mirrored", "--steps", "3", "--run", str(replicas)]
    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
    assert done.returncode == OK, done.stderr
    assert len(lines(replicas)) == len(lines(workers)) == 3
    for step, (left, right) in enumerate(zip(lines(workers), lines(replicas), strict=True)):
        # Float32 sums in another order, which Adam makes larger from step to step.
        assert left == pytest.approx(right, rel=1e-5 * 10**step)
    # And one device goes on from there, with the same batches.
    more = ["--run", str(replicas), "--resume", "--strategy", "none", "--steps", "4"]
    done = subprocess.run([*COMMAND, *more], capture_output=True, text=True)
    assert done.returncode == OK, done.stderr
    assert [line["step"] for line in lines(replicas)] == [1, 2, 3, 4]


def test_other_options_are_told_before_any_step(tmp_path):
    first = [*TINY, "--strategy", "multi-worker", "--run", tmp_path / "run"]
    with Workers(first, [*first, "--learning-rate", "0.5"]) as workers:
        ended = workers.end()
    assert [code for code, *_ in ended] == [FAILED, FAILED]
    told = [error_in(errors) for _, _, errors in ended]
    # Both find out at once; the one that is later may find the other gone.
    assert any("must be given the same options" in line for line in told)
    assert not lines(tmp_path / "run")

"""python -m data_gen, killed at any moment and continued."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.generation import contents, lines_of, run
from tests.support.paths import ROOT
from tests.support.prepared_process import CTRL_C, command_after


def start(out, *options):
    """The command in a process group of its own."""
    return subprocess.Popen(
        [*command_after(CTRL_C, "data_gen"), "--out", str(out), *map(str, options)],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


def workers(process):
    """Its children that render: beside them, Python keeps one that tracks what they share."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, line in lines.items() if b"spawn_main(" in line]


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_killed_and_continued(tmp_path, scenes):
    options = ["--root", scenes, "--count", 60, "--crop", 32, "--shard-size", 1, "--seed", 2]
    out = tmp_path / "out"
    process = start(out, *options, "--jobs", 2)
    wait_for(lambda: any(out.glob("dmenet-*")), process)
    kill_group(process)
    assert not (out / "dataset.json").exists()
    (out / ".dmenet-00059-of-00060.tfrecord.0123abcd.tmp").write_bytes(b"half")
    assert run("--out", out, *options) == 0
    assert run("--out", tmp_path / "whole", *options) == 0
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["records", "folders"])
def test_300_images_and_three_kills(tmp_path, shared, layout):
    """pytest -m slow -k three_kills: twice the whole group and once a worker, at random moments."""
    data = shared / "data"
    options = ["--root", data / "native", data / "rgbd", "--bgr-scenes", "nyu_*", "--count", 300]
    options += ["--crop", 240, "--shard-size", 16, "--jobs", 2, "--layout", layout]
    whole, out = tmp_path / "whole", tmp_path / "out"
    process = start(whole, *options)
    assert process.wait() == 0, process.communicate()[1]
    rng = random.Random(time.time_ns())
    for part, kill in enumerate(("group", "worker", "group")):
        process = start(out, *options)
        # Somewhere in this quarter of the work, and then at any moment of what is done next.
        share = (part + rng.random()) / 4
        files = int(share * len(contents(whole)))
        wait_for(lambda files=files: len(contents(out)) > files, process, 3000)
        time.sleep(rng.uniform(0, 5))
        assert process.poll() is None
        print(f"{kill} killed with {len(contents(out))} of {len(contents(whole))} files")
        if kill == "group":
            kill_group(process)
        else:
            wait_for(lambda process=process: workers(process), process)
            os.kill(rng.choice(workers(process)), signal.SIGKILL)
            errors = process.communicate()[1].strip().splitlines()
            print(errors[-1])
            assert process.returncode == 1 and "fewer --jobs" in errors[-1]
        assert not (out / "dataset.json").exists()
    process = start(out, *options)
    assert process.wait() == 0, process.communicate()[1]
    assert contents(out) == contents(whole)
    assert len(lines_of(out)) == 300


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_leaves_no_half_file(tmp_path, scenes):
    options = ["--root", scenes, "--count", 400, "--crop", 32, "--shard-size", 2]
    process = start(tmp_path / "out", *options, "--jobs", 2)
    wait_for(lambda: any((tmp_path / "out").glob("dmenet-*")), process)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.strip().endswith("run the same command again to continue where it stopped")
    assert "Traceback" not in errors
    assert not list((tmp_path / "out").rglob("*.tmp"))

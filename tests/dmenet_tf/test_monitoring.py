"""Monitoring: what lands in files, what a real TensorBoard serves from them, what a person sees."""

import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf import visualization as pictures
from dmenet_tf.training import monitoring
from dmenet_tf.training.monitoring import Monitor, NonFiniteLossError, check_finite

RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 24, 40, 3), np.float32)
PREDICTED = RNG.random((2, 24, 40, 1), np.float32)
TRUTH = RNG.random((2, 24, 40), np.float32)
WEIGHTS = {"data": 1.0, "content": 1e-4, "discriminator": 1.0}


def log(monitor, step, offset=0.0):
    """One step whose figures tell the step and the start that wrote it."""
    losses = {"data": step + offset, "content": 100.0, "discriminator": tf.constant(0.7)}
    totals = {"L_g": step + offset + 0.01, "L_d": 0.7}
    extras = {"discriminator_accuracy": 0.5, "loss_scale": 32768.0}
    monitor.log_step(
        step, losses, WEIGHTS, totals, learning_rate=1e-4, images_per_second=9.0, extras=extras
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def event_records(run_dir):
    """[(step, tag)] of all summaries in the run's event files, in the order of a reader."""
    return [
        (event.step, value.tag)
        for path in sorted(run_dir.glob("*tfevents*"))
        for event in map(
            tf.compat.v1.Event.FromString, tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        )
        for value in event.summary.value
    ]


def interrupt_and_resume(run_dir, between=lambda: None):
    """Six steps, killed while writing; resumed from a checkpoint of step 4 up to step 8."""
    with Monitor(run_dir, total_steps=8, console=False) as monitor:
        monitor.log_config("[optics]\nc_max_px = 28.0\n```\n# not a title")
        for step in range(1, 7):
            log(monitor, step)
            if step in (3, 6):
                monitor.log_validation(step, {"mse": step / 100})
        monitor.log_images(6, IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    between()
    for path in (*run_dir.glob("*tfevents*"), run_dir / "losses.jsonl"):
        content = path.read_bytes()
        path.write_bytes(content + content[-60:-20])  # a record that has no end
    with Monitor(run_dir, total_steps=8, start_step=4, console=False) as monitor:
        for step in range(5, 9):
            log(monitor, step, offset=0.5)
            if step == 6:
                monitor.log_validation(step, {"mse": 0.5})
                monitor.log_images(step, IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)


# --- files ------------------------------------------------------------------------------------


def test_losses_are_kept_bit_for_bit(tmp_path):
    value = tf.constant(0.1, tf.float32)  # as a double 0.10000000149011612, not 0.1
    with Monitor(tmp_path, total_steps=1, console=False) as monitor:
        monitor.log_step(
            1, {"data": value}, {"data": 1}, {"L_g": 1 / 3}, learning_rate=1, images_per_second=1
        )
    assert lines(tmp_path / "losses.jsonl") == [
        {"step": 1, "data": 0.10000000149011612, "L_g": 1 / 3}
    ]


def test_what_is_logged_is_on_disk_at_once(tmp_path):
    # A process killed without a word must not lose steps that its checkpoint holds.
    with Monitor(tmp_path, total_steps=2, console=False) as monitor:
        log(monitor, 1)
        monitor.log_validation(1, {"mse": 0.5})
        assert len(lines(tmp_path / "losses.jsonl")) == 1
        assert len(lines(tmp_path / "validation.jsonl")) == 1
        assert {(1, "loss/data"), (1, "validation/mse")} <= set(event_records(tmp_path))


def test_a_nan_is_written_as_nan(tmp_path):
    with Monitor(tmp_path, total_steps=1, console=False) as monitor:
        log(monitor, 1, offset=math.nan)
    (line,) = lines(tmp_path / "losses.jsonl")
    assert math.isnan(line["data"]) and math.isnan(line["L_g"]) and line["content"] == 100.0


def test_a_resumed_log_has_neither_gap_nor_duplicate(tmp_path):
    interrupt_and_resume(tmp_path)
    kept = lines(tmp_path / "losses.jsonl")
    assert [line["data"] for line in kept] == [1, 2, 3, 4, 5.5, 6.5, 7.5, 8.5]
    assert [line["step"] for line in kept] == list(range(1, 9))
    assert lines(tmp_path / "validation.jsonl") == [
        {"step": 3, "mse": 0.03},
        {"step": 6, "mse": 0.5},
    ]
    steps = {}
    for step, tag in event_records(tmp_path):
        steps.setdefault(tag, []).append(step)
    assert steps["loss/data"] == steps["train/learning_rate"] == list(range(1, 9))
    assert (steps["validation/mse"], steps["images/examples"]) == ([3, 6], [6])
    assert not list(tmp_path.glob("*.tmp"))


def test_what_a_resume_rewrites_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    with Monitor(tmp_path, total_steps=2, console=False) as monitor:
        log(monitor, 2)
    done, fsync, replace = [], os.fsync, os.replace

    def renamed(source, target):
        assert "tfevents" not in Path(source).name  # TensorBoard would read it
        done.append(Path(target).name.split(".")[0])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: (done.append("synced"), fsync(file)))
    monkeypatch.setattr(os, "replace", renamed)
    Monitor(tmp_path, total_steps=2, start_step=1, console=False).close()
    assert done == ["synced", "events", "synced", "losses", "synced", "validation"]


def test_what_lies_before_the_checkpoint_is_not_rewritten(tmp_path):
    with Monitor(tmp_path, total_steps=4, console=False) as monitor:
        log(monitor, 1)
    (events,) = tmp_path.glob("*tfevents*")
    before = (events.stat().st_ino, events.read_bytes())
    Monitor(tmp_path, total_steps=4, start_step=1, console=False).close()
    assert (events.stat().st_ino, events.read_bytes()) == before


def test_a_start_from_scratch_drops_what_an_earlier_one_left(tmp_path):
    with Monitor(tmp_path, total_steps=2, console=False) as monitor:
        monitor.log_validation(0, {"mse": 1.0})
        log(monitor, 1)
    with Monitor(tmp_path, total_steps=2, console=False) as monitor:
        monitor.log_validation(0, {"mse": 2.0})
    assert (tmp_path / "losses.jsonl").read_text() == ""
    assert lines(tmp_path / "validation.jsonl") == [{"step": 0, "mse": 2.0}]
    assert event_records(tmp_path) == [(0, "validation/mse")]


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "losses.jsonl").write_text('{"step": 1}\n{"step": 2, "da\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"losses\.jsonl, line 2: .*received '\{\"step\": 2"):
        Monitor(tmp_path, total_steps=4, start_step=3, console=False)


def test_wrong_calls_are_refused_with_the_rule(tmp_path):
    with pytest.raises(ValueError, match="received start_step 3, total_steps 2"):
        Monitor(tmp_path, total_steps=2, start_step=3)
    with Monitor(tmp_path, total_steps=2, console=False) as monitor:
        log(monitor, 1)
        with pytest.raises(ValueError, match="received step 1 after step 1"):
            log(monitor, 1)
        with pytest.raises(ValueError, match="received none for extra"):
            monitor.log_step(2, {"extra": 1}, {}, {}, learning_rate=1, images_per_second=1)
    assert len(lines(tmp_path / "losses.jsonl")) == 1


def test_non_finite_losses_are_named():
    check_finite(7, {"data": tf.constant(0.5), "L_g": 0.0})
    losses = {"data": tf.constant(math.nan), "content": 0.1, "L_g": -math.inf}
    with pytest.raises(NonFiniteLossError) as caught:
        check_finite(7, losses, "run/checkpoints/6")
    message = str(caught.value)
    for part in ("data = nan", "L_g = -inf", "step 7", "kept: run/checkpoints/6"):
        assert part in message
    assert "content" not in message
    with pytest.raises(NonFiniteLossError, match="no checkpoint had been saved yet"):
        check_finite(1, {"data": math.inf})


# --- TensorBoard ------------------------------------------------------------------------------


class Server:
    """A TensorBoard process on a free port; `get` returns a data route's JSON or bytes."""

    def __init__(self, logdir, log_path, *flags):
        self._log_path = log_path
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), *flags]
        command += ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
        with log_path.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def wait_for(self, condition):
        """Polls until `condition()` holds; fails with the server's own words."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if value := condition():
                    return value
            except (OSError, ValueError, LookupError):  # not up yet, or the run is not read yet
                pass
            time.sleep(0.1)
        raise AssertionError(f"TensorBoard did not come to it: {self._log_path.read_text()}")

    def get(self, route, **query):
        address = re.search(r"at (http://\S+?)/? ", self._log_path.read_text())
        if address is None:
            raise ValueError("the server has not told its port yet")
        url = f"{address[1]}/data/plugin/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.read() if "individual" in route else json.load(reply)

    def points(self, run, tag):
        """[(step, value)] of a scalar; JSON holds NaN as a string."""
        rows = self.get("scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in rows]


def test_tensorboard_shows_the_run(tmp_path):
    """Both of TensorBoard's readers serve the same: one run resumed before, one under its eyes."""
    logdir, servers = tmp_path / "runs", []
    interrupt_and_resume(logdir / "before")

    def start_servers():
        for flag in ("--load_fast=auto", "--load_fast=false"):
            log_path = tmp_path / f"tensorboard{len(servers)}.txt"
            servers.append(Server(logdir, log_path, flag))
        for server in servers:
            server.wait_for(lambda server=server: server.points("watched", "loss/data")[5])

    try:
        interrupt_and_resume(logdir / "watched", between=start_servers)
        for server in servers:
            check_served_run(server, "before")
            check_served_run(server, "watched")
    finally:
        for server in servers:
            server.process.terminate()
            server.process.wait(30)


def check_served_run(server, run):
    data = [1, 2, 3, 4, 5.5, 6.5, 7.5, 8.5]
    server.wait_for(lambda: server.points(run, "loss/data")[-1][0] == 8)
    assert server.points(run, "loss/data") == list(enumerate(data, 1))
    assert server.points(run, "validation/mse") == [(3, pytest.approx(0.03)), (6, 0.5)]
    assert server.points(run, "weighted/content")[-1] == (8, pytest.approx(0.01))
    assert set(server.get("scalars/tags")[run]) == {
        *(f"{group}/{name}" for group in ("loss", "weighted") for name in WEIGHTS),
        *("total/L_g", "total/L_d", "validation/mse", "train/learning_rate", "train/loss_scale"),
        *("train/images_per_second", "train/discriminator_accuracy"),
    }
    assert list(server.get("images/tags")[run]) == ["images/examples"]
    (shown,) = server.get("images/images", run=run, tag="images/examples", sample=0)
    query = dict(urllib.parse.parse_qsl(shown["query"]))
    png = np.frombuffer(server.get("images/individualImage", **query), np.uint8)
    picture = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert shown["step"] == 6
    np.testing.assert_array_equal(
        picture, pictures.panel(IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    )
    (config,) = server.get("text/text", run=run, tag="config")
    assert "<code>[optics]\nc_max_px = 28.0\n```\n# not a title\n</code>" in config["text"]


# --- console ----------------------------------------------------------------------------------


def test_a_log_file_gets_plain_lines_now_and_then(tmp_path, capsys, monkeypatch):
    clock = iter(range(0, 100, 10))  # every step takes 10 s, a line is due each 30 s
    monkeypatch.setattr(monitoring.time, "monotonic", lambda: next(clock))
    with Monitor(tmp_path, total_steps=10, start_step=2) as monitor:
        for step in range(3, 11):
            log(monitor, step)
        monitor.log_validation(10, {"mse": 0.012345678})
    printed = capsys.readouterr()
    assert printed.out == "" and "\r" not in printed.err
    *steps, validation = printed.err.splitlines()
    assert [line.split("  ")[0] for line in steps] == [
        "step 3/10 (30%, ? left)",
        "step 6/10 (60%, 00:40 left)",
        "step 9/10 (90%, 00:10 left)",
        "step 10/10 (100%, 00:00 left)",
    ]
    assert steps[0].endswith(
        "  L_g 3.01  L_d 0.7  D acc 0.50  9.0 images/s  data 3  content 100  discriminator 0.7"
    )
    assert validation == "validation at step 10: mse 0.012346"


def test_a_terminal_gets_a_progress_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Monitor(tmp_path, total_steps=4, start_step=2) as monitor:
        log(monitor, 3)
        monitor.log_validation(3, {"mse": 0.25})
        log(monitor, 4)
    shown = capsys.readouterr().err
    assert "validation at step 3: mse 0.25\n" in shown
    assert re.search(r"\r 50%\|.*\| 2/4 ", shown)
    assert re.search(r"\r100%\|.*\| 4/4 \[.*\] .*L_g 4.01  L_d 0.7  D acc 0.50", shown)
    assert shown.endswith("\n")


def test_a_silent_monitor_prints_nothing(tmp_path, capsys):
    with Monitor(tmp_path, total_steps=1, console=False) as monitor:
        log(monitor, 1)
        monitor.log_validation(1, {"mse": 0.25})
    assert capsys.readouterr() == ("", "")

"""Monitoring: what lands in files, what a real TensorBoard serves from them, what a person sees."""

import json
import math
import os
import re
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from dmenet_tf.training import monitoring
from dmenet_tf.training.monitoring import Monitor, NonFiniteLossError, check_finite
from dmenet_tf.training.time_limit import TimeLimit
from tests.support.events import event_records
from tests.support.monitored import interrupt_and_resume, log


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


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


def test_lines_of_earlier_versions_get_the_name_of_today(tmp_path):
    """The figure was called what it is not: it is a ratio, not an error."""
    old = '{"step": 1, "mse_of_constant": 0.1, "mse_of_constant_by_photos": NaN, "mse": 0.3}\n'
    (tmp_path / "validation.jsonl").write_text(old)
    Monitor(tmp_path, total_steps=4, start_step=1, console=False).close()
    (line,) = lines(tmp_path / "validation.jsonl")
    assert line["mse_ratio_to_constant"] == 0.1 and line["mse"] == 0.3
    assert math.isnan(line["mse_ratio_to_constant_by_photos"]) and len(line) == 4


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


def test_a_run_that_ends_by_the_clock_says_when(tmp_path, capsys, monkeypatch):
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr(monitoring.time, "monotonic", lambda: next(clock))
    limit = TimeLimit(minutes=1.5)
    with Monitor(tmp_path, total_steps=1000, time_limit=limit) as monitor:
        for step in range(1, 8):
            limit.seconds.assign(10.0 * step)
            log(monitor, step)
    steps = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in steps] == [
        "step 1/1000 (0%, 01:20 left)",
        "step 4/1000 (0%, 00:50 left)",
        "step 7/1000 (1%, 00:20 left)",
    ]


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

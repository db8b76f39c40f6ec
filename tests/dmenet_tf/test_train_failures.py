"""What ends a training early ends it: in one line, its state saved, to be continued exactly."""

import json
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_gen.dataset import records, shards
from data_gen.exit_codes import FAILED, INTERRUPTED, OK, SKIPPED
from dmenet_tf import train
from tests.support.datasets import write_dataset
from tests.support.prepared_process import CTRL_C, LIMIT_S, command_after

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "dmenet_tf.train"]
# Without C and S it is traced faster; with D, all three streams are read.
TINY = [
    "--preset", "tiny", "--width", "0.03", "--parts", "BD", "--validation-examples", "1",
    "--procedural-scenes", "8",
]  # fmt: skip


def losses(run):
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def latest(run):
    return tf.train.latest_checkpoint(str(run / "checkpoints"))


def ended(*arguments, command=COMMAND):
    """A finished training in a process of its own."""
    return subprocess.run(
        [*command, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
    )


def error_in(text):
    """The one line that says why; no traceback around it."""
    assert "Traceback" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("error: "))
    return line


@pytest.fixture
def photos(tmp_path):
    """Six photos, one of them cut in half, which its header does not show."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(6):
        path = tmp_path / "photos" / f"{i}.jpg"
        cv2.imwrite(str(path), rng.integers(0, 256, (60, 80, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return tmp_path / "photos"


def test_a_broken_photo_that_may_not_be_skipped_ends_the_process(tmp_path, photos):
    run = tmp_path / "run"
    options = [*TINY, "--run", run, "--unlabelled", photos, "--max-bad", "0", "--steps", "9"]
    done = ended(*options)
    assert done.returncode == FAILED, done.stderr
    line = error_in(done.stderr)
    assert f"{photos}/5.jpg: must be a complete, valid image" in line
    assert line.endswith(f"to continue: dmenet train --run {run} --resume")
    # Whatever step was reached: the checkpoint is of it, and a resume goes on from there.
    reached = int(latest(run).rpartition("-")[2])
    assert f"step {reached} is saved" in line
    (photos / "5.jpg").unlink()
    assert train.main(["--run", str(run), "--resume"]) == OK
    assert [line["step"] for line in losses(run)] == list(range(1, 10))


def test_broken_photos_are_skipped_and_listed_also_over_a_resume(tmp_path, photos, capsys):
    (photos / "2.jpg").write_bytes(b"no photo")  # as its header tells at once
    run, options = tmp_path / "run", ["--unlabelled", str(photos), "--max-bad", "0.3"]
    assert train.main([*TINY, *options, "--run", str(run), "--steps", "6"]) == SKIPPED
    told, listed = capsys.readouterr(), (run / "skipped.txt").read_text().splitlines()
    for name, line in zip(("2.jpg", "5.jpg"), listed, strict=True):
        assert line.startswith(f"{photos}/{name}: must be")
        assert told.err.count(f"skipped: {line}\n") == 1
    assert f"skipped: 2, {run / 'skipped.txt'}" in told.out
    assert train.main(["--run", str(run), "--resume", "--steps", "7"]) == SKIPPED
    assert [line["step"] for line in losses(run)] == list(range(1, 8))
    assert (run / "skipped.txt").read_text().splitlines() == listed


def test_too_many_broken_photos_end_it_before_any_work(tmp_path, photos, capsys):
    for name in ("1.jpg", "2.jpg"):
        (photos / name).write_bytes(b"")
    code = train.main([*TINY, "--run", str(tmp_path / "run"), "--unlabelled", str(photos)])
    assert code == FAILED
    line = error_in(capsys.readouterr().err)
    assert "at most 1 of 6" in line and "2.jpg: the file must not be empty" in line
    assert not (tmp_path / "run").exists()


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    run = tmp_path / "run"
    assert train.main([*TINY, "--run", str(run), "--steps", "3"]) == OK
    kept = latest(run)
    # Enough for the lines of the log, and not for a checkpoint.
    size = max(path.stat().st_size for path in (run / "checkpoints").iterdir()) // 2
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    done = ended("--run", run, "--resume", "--steps", "6", command=command_after(limit))
    assert done.returncode == FAILED, done.stderr
    line = error_in(done.stderr)
    assert str(run) in line and "File too large" in line
    assert line.endswith(f"the last checkpoint is kept: {kept}") and latest(run) == kept


def test_an_interrupt_before_the_first_step_ends_the_process(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*command_after(CTRL_C), *TINY, "--validation-examples", "5000", "--run", str(run)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (run / "config.json").exists():  # written before held-out scenes are rendered
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    assert f"interrupted; to continue: dmenet train --run {run} --resume" in errors


def test_an_interrupt_that_is_lost_ends_the_process_all_the_same(tmp_path):
    """As in TensorFlow's finalizers, which ignore all exceptions."""
    code = (
        "import signal, sys\n"
        "from dmenet_tf import config_file, train\n"
        "save = config_file.save\n"
        "def interrupted(*arguments):\n"
        "    save(*arguments)\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except:\n"
        "        pass\n"
        "config_file.save = interrupted\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(train.main(sys.argv[1:]))\n"
    )
    run = tmp_path / "run"
    command = [sys.executable, "-c", code]
    done = ended(*TINY, "--validation-examples", "5000", "--run", run, command=command)
    assert done.returncode == INTERRUPTED, done.stderr
    assert f"interrupted; to continue: dmenet train --run {run} --resume" in done.stderr
    assert not (run / "losses.jsonl").exists() or not losses(run)


def test_an_error_that_nobody_expected_ends_the_process(tmp_path):
    """With its traceback, which keeps all that it went through alive until the very end."""
    code = (
        "import sys\n"
        "from dmenet_tf import train\n"
        "from dmenet_tf.training.loop import Loop\n"
        "def update(loop, batch, step):\n"
        "    raise TypeError('nobody expected it')\n"
        "Loop._update = update\n"
        "sys.exit(train.main(sys.argv[1:]))\n"
    )
    done = ended(*TINY, "--run", tmp_path / "run", command=[sys.executable, "-c", code])
    assert done.returncode == 1 and "TypeError: nobody expected it" in done.stderr


def test_a_damaged_record_is_named(tmp_path, capsys):
    folder, run = tmp_path / "syndof", tmp_path / "run"
    folder.mkdir()
    write_dataset(folder, (6, 6))
    shard = records.open_records(folder).files[1]
    data, (offset, length) = bytearray(shard.read_bytes()), next(shards.scan(shard))
    data[offset + length // 2] ^= 1
    shard.write_bytes(data)
    assert train.main([*TINY, "--run", str(run), "--synthetic", str(folder)]) == FAILED
    line = error_in(capsys.readouterr().err)
    assert f"{shard}: all records must match their checksums" in line and "step 0 is saved" in line


def test_held_out_photos_must_be_whole(tmp_path, photos, capsys):
    masks = tmp_path / "gt"
    masks.mkdir()
    half = np.zeros((60, 80), np.uint8)
    half[:, 40:] = 255
    for i in range(6):
        cv2.imwrite(str(masks / f"{i}.png"), half)
    (tmp_path / "image").symlink_to(photos)
    options = ["--labelled", str(tmp_path), "--labelled-validation", "4-5"]
    assert train.main([*TINY, "--run", str(tmp_path / "run"), *options]) == FAILED
    assert "image/5.jpg: must be a complete" in error_in(capsys.readouterr().err)

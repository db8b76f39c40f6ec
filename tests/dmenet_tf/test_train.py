"""python -m dmenet_tf.train: a whole run, its files, resume after a kill, and refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_gen.exit_codes import INTERRUPTED
from data_gen.io.locks import FolderLock
from dmenet_tf import config_file as configuration
from dmenet_tf import train
from dmenet_tf.presets import PRESETS
from dmenet_tf.training import loop
from dmenet_tf.training import run as run_module
from dmenet_tf.training.monitoring import NonFiniteLossError
from dmenet_tf.training.validation import Validation
from dmenet_tf.weights.checkpoints import load_blur_estimation
from dmenet_tf.weights.load import load_weights
from tests.support.events import event_records
from tests.support.prepared_process import CTRL_C, LIMIT_S, command_after

TINY = PRESETS["tiny"].config
COMMAND = [sys.executable, "-m", "dmenet_tf.train", "--preset", "tiny"]
# Small and quick, and complete: all four networks on all three streams.
FAST = ["--width", "0.03", "--validation-examples", "1", "--procedural-scenes", "8"]

# B alone, with a checkpoint two steps before the one that the tests spoil.
SPOILED = replace(
    TINY,
    network=replace(TINY.network, parts="B", width=0.03),
    data=replace(TINY.data, validation_examples=1),
    training=replace(TINY.training, checkpoint_every=2, validate_every=2),
)


def lines(run, name="losses.jsonl"):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def wait_for_steps(process, run, steps):
    deadline, log = time.monotonic() + LIMIT_S, run / "losses.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) >= steps):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six steps, and what it printed."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    done = subprocess.run(
        # Held-out examples of a size that the decoder takes only padded.
        [
            *COMMAND,
            "--run",
            str(run),
            "--pretrain-steps",
            "2",
            "--validation-crop",
            "40",
            *FAST,
            "--histograms",
            "4",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return run, done


def test_a_run_leaves_what_it_promises(finished):
    run, done = finished
    files = {path.name for path in run.iterdir()}
    names = {name for name in files if "tfevents" not in name}
    assert names == {
        "config.json", "checkpoints", "best", "losses.jsonl", "validation.jsonl",
        "maps.png", "maps.npy",
    }  # fmt: skip
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines(run, "validation.jsonl")] == [3, 6]
    saved = configuration.load(run / "config.json")
    assert saved.training.pretrain_steps == 2 and saved.network.width == 0.03
    assert "of the best constant map's" in done.stdout and "tensorboard --logdir" in done.stdout
    assert "6 steps show that everything runs, and nothing about the maps" in done.stdout
    assert "mse_ratio_to_constant" in lines(run, "validation.jsonl")[-1]
    tags = {tag for _, tag in event_records(run)}
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= tags
    assert "_hparams_/session_end_info" in tags
    # Histograms every fourth step, and at the end.
    kernels = {(step, tag) for step, tag in event_records(run) if tag.startswith("weights/")}
    assert {step for step, _ in kernels} == {4, 6}
    networks = {tag.split("/")[1] for _, tag in kernels}
    assert networks == {"blur_estimation", "discriminator", "sharpness"}  # C does not learn


def test_pretraining_comes_first(finished):
    before, after = lines(finished[0])[1], lines(finished[0])[2]
    assert "L_d" not in before and "sharpness" not in before
    assert "L_d" in after and "sharpness" in after


def test_the_models_of_a_run_load(finished):
    for which in ("best", "checkpoints"):
        model, _ = load_blur_estimation(finished[0], which)
        assert model(np.zeros((1, 16, 32, 3), np.float32))["defocus"].shape == (1, 16, 32, 1)


def test_maps_are_those_of_the_saved_model(finished):
    model, config = load_blur_estimation(finished[0], "checkpoints")
    maps = np.load(finished[0] / "maps.npy")
    assert maps.shape == (config.data.validation_examples, 40, 40, 1)
    assert maps.min() >= 0 and maps.max() <= 1


def test_a_finished_run_resumes_to_nothing_left_or_to_more_steps(finished, capsys):
    run, _ = finished
    assert train.main(["--run", str(run), "--resume"]) == 0
    assert "nothing left to train" in capsys.readouterr().out


def test_kill_and_resume_repeat_an_unbroken_run(tmp_path):
    """20 steps straight, and 10 + kill -9 + 10: identical losses and weights."""
    options = ["--steps", "20", "--checkpoint-every", "10", "--validate-every", "20",
               "--deterministic", "--seed", "3", *FAST]  # fmt: skip
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    done = subprocess.run(
        [*COMMAND, "--run", str(straight), *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        [*COMMAND, "--run", str(broken), *options], stderr=subprocess.DEVNULL
    )
    try:  # killed after the checkpoint of step 10, in the middle of what follows
        wait_for_steps(process, broken, 12)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(lines(broken)) < 20
    done = subprocess.run(
        [*COMMAND, "--run", str(broken), "--resume"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert lines(broken) == lines(straight) and len(lines(straight)) == 20
    left, right = (tf.train.load_checkpoint(str(run / "checkpoints")) for run in (straight, broken))
    names = [n for n in left.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    assert len(names) > 500
    for name in names:
        if "save_counter" not in name:
            np.testing.assert_array_equal(
                left.get_tensor(name), right.get_tensor(name), err_msg=name
            )


def test_interrupt_saves_and_says_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    options = ["--preset", "tiny", "--run", str(run), "--steps", "5000", *FAST]
    process = subprocess.Popen(
        [*command_after(CTRL_C), *options, "--checkpoint-every", "4999"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_steps(process, run, 3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    assert f"--run {run} --resume" in errors
    assert tf.train.latest_checkpoint(str(run / "checkpoints"))


def test_a_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    run = tmp_path / "run"
    batches = run_module.datasets.training_batches

    def spoiled(*arguments):
        def spoil(number, batch):
            bad = tf.where(number == 3, float("nan"), 1.0)
            return {**batch, "defocus": batch["defocus"] * bad}

        return batches(*arguments).enumerate().map(spoil)

    monkeypatch.setattr(run_module.datasets, "training_batches", spoiled)
    with pytest.raises(NonFiniteLossError, match=r"received defocus = nan.* at step 4.*ckpt-2"):
        run_module.train(run, SPOILED)
    model, _ = load_blur_estimation(run, "checkpoints")
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert tf.train.latest_checkpoint(str(run / "checkpoints")).endswith("ckpt-2")


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    run = tmp_path / "run"
    update = loop.Loop._update

    def overflow(loop, batch, step):
        report = update(loop, batch, step)
        if step == 3:  # the loss of this step is still finite
            kernel = loop.trainer.networks.blur_estimation.get_layer("conv3_1").kernel
            kernel.assign(kernel * float("inf"))
        return report

    monkeypatch.setattr(loop.Loop, "_update", overflow)
    with pytest.raises(
        NonFiniteLossError, match="weights of blur_estimation = .*at step 4.*ckpt-2"
    ):
        run_module.train(run, SPOILED)
    assert tf.train.latest_checkpoint(str(run / "checkpoints")).endswith("ckpt-2")


def test_a_folder_with_a_run_is_not_overwritten(finished, capsys):
    run, _ = finished
    before = (run / "losses.jsonl").read_bytes()
    assert train.main(["--preset", "tiny", "--run", str(run)]) == 1
    assert "a new run needs a new folder" in capsys.readouterr().err
    assert (run / "losses.jsonl").read_bytes() == before


def test_one_process_a_run(finished, capsys):
    run, _ = finished
    before = sorted(path.name for path in run.iterdir())
    with FolderLock(run):
        for options in (["--resume", "--steps", "7"], ["--preset", "tiny"]):
            assert train.main(["--run", str(run), *options]) == 1
    for line in capsys.readouterr().err.splitlines():
        assert f"{run}: only one program at a time" in line and f"process {os.getpid()}" in line
    assert sorted(path.name for path in run.iterdir()) == before


def test_photos_that_decide_must_be_there(tmp_path, labelled, capsys):
    options = ["--preset", "tiny", "--best-by", "photos", "--labelled", str(labelled)]
    assert train.main([*options, "--run", str(tmp_path / "run"), *FAST]) == 1
    assert "needs data.labelled_validation" in capsys.readouterr().err


def test_a_run_for_photos(tmp_path, labelled):
    """All options of the preset `photo` at once, on random features."""
    run = tmp_path / "run"
    options = [
        "--parts", "BS", "--freeze-encoder", "--balance-features", "--sharpness-network",
        "monotone", "--statistics", "photos", "--decoder-width", "0.0625", "--recommended-side",
        "48", "--schedule", "cosine", "--warmup-steps", "2", "--average", "0.9", "--best-by",
        "photos", "--cached-crops", "3", "--windows", "16", "32", "--lambda-sharpness-aux", "0.2",
        "--labelled", str(labelled), "--labelled-validation", "01-02",
    ]  # fmt: skip
    assert train.main(["--preset", "tiny", "--run", str(run), *FAST, *options]) == 0
    figures = lines(run, "validation.jsonl")[-1]
    names = ("mse", "photo_accuracy", "photo_ap", "photo_best")
    assert {*names, *(f"{name}_by_synthetic" for name in names)} < set(figures)
    trained = load_weights(run)
    assert (trained.recommended_side, trained.statistics) == (48, "photos")
    # What was validated last, the average by the photos' statistics, is what loads.
    maps = Validation(np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32))
    predicted = maps.predict(load_weights(run, "checkpoints").model)
    assert np.isfinite(predicted).all()
    assert train.main(["--run", str(run), "--resume", "--steps", "8"]) == 0


@pytest.fixture
def labelled(tmp_path):
    """Four photos, blurred on the right."""
    rng = np.random.default_rng(0)
    for folder in ("image", "gt"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    for i in range(4):
        image, mask = rng.integers(0, 255, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        image[:, 32:] = cv2.GaussianBlur(image[:, 32:], (0, 0), 3)
        mask[:, 32:] = 255
        cv2.imwrite(str(tmp_path / "photos" / "image" / f"{i:02d}.png"), image)
        cv2.imwrite(str(tmp_path / "photos" / "gt" / f"{i:02d}.png"), mask)
    return tmp_path / "photos"


def test_resume_keeps_the_networks(finished, capsys):
    assert train.main(["--run", str(finished[0]), "--resume", "--parts", "BD"]) == 1
    assert "a resumed run keeps its networks" in capsys.readouterr().err


def test_nothing_to_resume(tmp_path, capsys):
    assert train.main(["--run", str(tmp_path / "none"), "--resume"]) == 1
    assert "none/config.json" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["--synthetic", "--labelled", "--unlabelled"])
def test_missing_data_is_an_error_before_any_work(tmp_path, capsys, option):
    missing = str(tmp_path / "missing")
    code = train.main(["--preset", "tiny", "--run", str(tmp_path / "run"), option, missing])
    assert code == 1 and "missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_real_files(tmp_path, shared):
    """The full loss on real scenes and photos of all three domains."""
    data = shared / "data"
    options = [
        "--synthetic", data / "native", data / "rgbd", "--bgr-scenes", "nyu_*",
        "--labelled", data / "cuhk", "--labelled-names", "0001-0040",
        "--labelled-validation", "0455-0458", "--unlabelled", data / "lfsd",
        "--run", tmp_path / "run", "--steps", "2", *FAST,
    ]  # fmt: skip
    done = subprocess.run(
        [*COMMAND, *map(str, options)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    figures = lines(tmp_path / "run", "validation.jsonl")[-1]
    assert {"mse", "mae", "photo_accuracy", "photo_ap"} < set(figures)

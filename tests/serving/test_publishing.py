"""Publishing a model: nothing half made is ever published, and nothing wrong."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.exporting import publishing, verification
from tests.support.lively import lively


def trained_model():
    return TrainedModel(lively(build_blur_estimation(0.03)), "paper", "runs/some", "0123456789ab")


@pytest.fixture(scope="module")
def trained():
    return trained_model()


@pytest.fixture
def quick(monkeypatch):
    """Publishing without the graph; what the graph would say about the model, of each."""
    written = []

    def write(trained, fields, folder, precision):
        written.append(fields)
        (folder / "assets.extra").mkdir()

    monkeypatch.setattr(publishing, "_write", write)
    monkeypatch.setattr(verification, "differences", lambda folder, trained: {"defocus": 0.0})
    return written


def test_versions_count_on(tmp_path, trained, quick):
    out = tmp_path / "models" / "dmenet"
    (out / "notes").mkdir(parents=True)
    assert [publishing.publish(trained, out).name for _ in range(2)] == ["1", "2"]
    assert publishing.publish(trained, out, 40).name == "40"
    assert publishing.publish(trained, out).name == "41"
    with pytest.raises(ValueError, match=r"published once.*--version 40.*free one is 42"):
        publishing.publish(trained, out, 40)
    with pytest.raises(ValueError, match="from 1 to"):
        publishing.publish(trained, out, 0)
    assert sorted(p.name for p in out.iterdir()) == ["1", "2", "40", "41", "notes"]


@pytest.mark.parametrize(
    ("asked", "recommended"), [(None, {}), (320, {"recommended_side": 320}), (0, {})]
)
def test_the_recommended_size_is_told_where_there_is_one(
    tmp_path, trained, quick, asked, recommended
):
    folder = publishing.publish(trained, tmp_path / "dmenet", recommended_side=asked)
    about = json.loads((folder / contract.METADATA_FILE).read_text())
    for fields in (about, quick[0]):
        assert {k: v for k, v in fields.items() if k == contract.RECOMMENDED_SIDE} == recommended
    assert set(quick[0]) == {*contract.MODEL_FIELDS, *recommended}


def test_a_side_that_no_photo_can_have_is_refused(tmp_path, trained):
    with pytest.raises(ValueError, match="at least 16 px, or 0 for full size; received 8"):
        publishing.publish(trained, tmp_path / "dmenet", recommended_side=8)


@pytest.mark.parametrize(("defocus", "fine"), [(1e-4, True), (1e-3, False), (np.nan, False)])
def test_differences_are_judged(defocus, fine):
    with contextlib.nullcontext() if fine else pytest.raises(publishing.PublishError):
        publishing._judge({"defocus": defocus}, {"defocus": 3e-4})


def test_a_mismatch_publishes_nothing(tmp_path, exported, monkeypatch):
    """What was written is another model's graph: the check must see it."""
    folder = exported[1] / contract.MODEL_NAME / "1"
    other = trained_model()
    kernel = other.model.get_layer("conv1_1").kernel
    kernel.assign(1.05 * np.asarray(kernel))

    def write(trained, fields, into, precision):
        shutil.copytree(folder, into, dirs_exist_ok=True)

    monkeypatch.setattr(publishing, "_write", write)
    with pytest.raises(publishing.PublishError, match="must answer as the Keras model"):
        publishing.publish(other, tmp_path / "dmenet")
    assert list((tmp_path / "dmenet").iterdir()) == []


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_model_of_16_bits_is_compared_as_one(tmp_path, precision):
    """The graph is really of the format: as float32 its differences would not pass."""
    calm = trained_model()
    last = calm.model.get_layer("final_conv3")
    last.kernel.assign(0.05 * np.asarray(last.kernel))  # else the sigmoid makes steps of noise
    folder = publishing.publish(calm, tmp_path / "dmenet", precision=precision)
    about = json.loads((folder / contract.METADATA_FILE).read_text())
    assert about["precision"] == precision
    float32, own = (verification.rounding(calm, p)["defocus"] for p in ("float32", precision))
    assert float32 < about["verification"]["defocus"] <= own < 0.5


def test_weights_that_are_not_finite_are_not_published(tmp_path):
    spoiled = trained_model()
    bias = spoiled.model.get_layer("conv3_2").bias
    bias.assign(np.where(np.arange(bias.shape[0]) == 1, np.nan, np.asarray(bias)))
    rule = "finite; received 1 NaN or infinite.*conv3_2"
    with pytest.raises(publishing.PublishError, match=rule):
        publishing.publish(spoiled, tmp_path / "dmenet")
    assert not (tmp_path / "dmenet").exists()


@pytest.mark.process
def test_a_killed_export_leaves_nothing_that_a_server_sees(tmp_path, trained, quick):
    out = tmp_path / "dmenet"
    script = """if True:
        import sys, time, types
        from pathlib import Path
        from serving.exporting import publishing
        def write(trained, fields, folder, precision):
            (folder / "saved_model.pb").write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(60)
        publishing._write = write
        publishing._check_finite = lambda model: None
        publishing.model_fields = lambda *arguments: {}
        publishing.publish(types.SimpleNamespace(model=None), sys.argv[1])
    """
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert child.stdout.readline() == b"writing\n"
    with pytest.raises(ValueError, match="one program at a time"):
        publishing.publish(trained, out)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not [p for p in out.iterdir() if p.name.isdecimal()]
    assert publishing.publish(trained, out).name == "1"
    assert [p.name for p in out.iterdir()] == ["1"]


def test_the_version_appears_whole(tmp_path, trained, quick, monkeypatch):
    """What a watching server sees at any time: nothing, or everything."""
    out, seen = tmp_path / "dmenet", []
    write = publishing._write_metadata

    def watched(*arguments):
        seen.append([p.name for p in out.iterdir() if p.name.isdecimal()])
        write(*arguments)
        seen.append([p.name for p in out.iterdir() if p.name.isdecimal()])

    monkeypatch.setattr(publishing, "_write_metadata", watched)
    folder = publishing.publish(trained, out)
    assert seen == [[], []] and (folder / contract.METADATA_FILE).is_file()

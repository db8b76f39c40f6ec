"""python -m data_gen: datasets on disk that are complete, repeatable and can be continued."""

import hashlib
import json
import subprocess

import numpy as np
import pytest

from data_gen.dataset import folders, records
from data_gen.io import images as imagefiles
from tests.support.generation import contents, lines_of, run


def test_records_are_repeatable_and_continue_byte_for_byte(tmp_path):
    options = ["--count", "5", "--crop", "32", "--shard-size", "2", "--seed", "3"]
    assert run("--out", tmp_path / "whole", *options) == 0
    whole = contents(tmp_path / "whole")
    assert len(whole) == 3 + 3  # shards, parameters.json, manifest.jsonl, dataset.json
    # As after a kill: one shard and the manifest are missing, a temporary file is left over.
    part = tmp_path / "part"
    part.mkdir()
    for path, data in whole.items():
        if path.name not in ("dataset.json", "dmenet-00001-of-00003.tfrecord"):
            (part / path).write_bytes(data)
    assert run("--out", part, *options) == 0
    assert contents(part) == whole
    opened = records.open_records(part)
    assert len(opened) == 5
    image, defocus = opened.read(4)
    assert image.shape == (32, 32, 3) and defocus.shape == (32, 32)
    assert opened.example(4)["index"] == 4 and opened.example(4)["seed"] == 3


def test_folders_hold_the_same_pixels_as_records(tmp_path):
    options = ["--count", "3", "--crop", "32"]
    assert run("--out", tmp_path / "r", *options) == 0
    assert run("--out", tmp_path / "f", *options, "--layout", "folders") == 0
    shards, folder = records.open_records(tmp_path / "r"), folders.open_folder(tmp_path / "f")
    for index in range(3):
        for a, b in zip(shards.read(index), folder.read(index), strict=True):
            np.testing.assert_array_equal(a, b)


def test_folders_in_the_authors_encoding(tmp_path):
    options = ["--count", "2", "--crop", "32", "--layout", "folders", "--encoding", "released"]
    assert run("--out", tmp_path, *options) == 0
    assert json.loads((tmp_path / "dataset.json").read_text())["encoding"] == "released"
    assert folders.open_folder(tmp_path).encoding == "released"


def test_other_parameters_do_not_continue_a_dataset(tmp_path, capsys):
    assert run("--out", tmp_path, "--count", 2, "--crop", 32) == 0
    assert run("--out", tmp_path, "--count", 2, "--crop", 32, "--seed", 9) == 1
    error = capsys.readouterr().err
    assert (
        "continued with the parameters it was started with; received seed 9 instead of 0" in error
    )


def test_whole_scenes_of_a_source(tmp_path, shared):
    source = shared / "data" / "native"
    assert run("--source", source, "--out", tmp_path, "--count", 1, "--layout", "folders") == 0
    image, defocus = folders.open_folder(tmp_path).read(0)
    assert image.shape[:2] == defocus.shape and min(defocus.shape) >= 436


@pytest.mark.parametrize("layout", ["records", "folders"])
def test_a_line_for_each_image_says_how_it_was_made(tmp_path, scenes, layout):
    options = ["--count", 10, "--crop", 32, "--shard-size", 4, "--layout", layout, "--seed", 5]
    assert run("--out", tmp_path / "out", "--root", scenes, *options) == 0
    lines = lines_of(tmp_path / "out")
    assert [line["index"] for line in lines] == list(range(10))
    assert {line["scene"] for line in lines} == {"a", "b", "c"}
    opened = (records.open_records if layout == "records" else folders.open_folder)(
        tmp_path / "out"
    )
    for index, line in enumerate(lines):
        assert line["source"] == {
            "root": 0,
            "image": f"{line['scene']}/rgb.png",
            "depth": f"{line['scene']}/depth.png",
        }
        assert (line["near"], line["far"], line["crop"], line["seed"]) == (1000.0, 3000.0, 32, 5)
        assert 1000 <= line["focus_distance"] <= 3000 and line["layers"] >= 1
        image, _ = opened.read(index)
        png = imagefiles.encode_png(image)
        assert line["image_sha256"] == hashlib.sha256(png).hexdigest()
        file = tmp_path / "out" / line["file"]
        if layout == "records":
            example = opened.example(index)
            assert example["index"] == index and example["name"] == line["scene"]
            assert line["file"] == opened.files[index // 4].name and line["record"] == index % 4
            assert np.float32(line["alpha_px"]) == np.float32(example["alpha_px"])
        else:
            assert file.read_bytes() == png
            data = (tmp_path / "out" / line["map_file"]).read_bytes()
            assert line["map_sha256"] == hashlib.sha256(data).hexdigest()


def test_several_roots_and_the_form_with_a_layout(tmp_path, scenes):
    options = ["--count", 6, "--crop", 32]
    assert run("--out", tmp_path / "a", "--root", scenes, scenes, *options) == 0
    roots = {line["source"]["root"] for line in lines_of(tmp_path / "a")}
    assert roots == {0, 1}
    forms = (["--source", "folder", "--root", scenes], ["--source", scenes])
    for name, form in zip("bc", forms, strict=True):
        assert run("--out", tmp_path / name, *form, *options) == 0
    manifests = [(tmp_path / name / "manifest.jsonl").read_bytes() for name in "bc"]
    assert manifests[0] == manifests[1]


def test_the_same_bytes_from_two_workers(tmp_path, scenes):
    options = ["--root", scenes, "--count", 9, "--crop", 32, "--shard-size", 2]
    assert run("--out", tmp_path / "one", *options) == 0
    assert run("--out", tmp_path / "two", *options, jobs=2) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_distinct_scenes_only(tmp_path, scenes):
    # a and a copy of it look alike; b and c are other noise.
    (scenes / "d").mkdir()
    for name in ("rgb.png", "depth.png"):
        (scenes / "d" / name).write_bytes((scenes / "a" / name).read_bytes())
    out = tmp_path / "out"
    options = ["--root", scenes, "--count", 8, "--crop", 32, "--distinct", 20]
    assert run("--out", out, *options) == 0
    assert {line["scene"] for line in lines_of(out)} == {"a", "b", "c"}
    assert json.loads((out / "parameters.json").read_text())["distinct"] == 20
    assert any((out / "distinct").iterdir())


# --- what it refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--count", "0"], "count must be at least 1; received 0"),
        (["--count", "1", "--source", "nowhere"], "nowhere: a source must be a folder"),
        (["--count", "1", "--source", "sintel"], "must come with --root and its folders"),
        (["--count", "1", "--source", "x", "--root", "y"], "--source must be one of auto, sintel"),
        (["--count", "1", "--seed", "3000000000"], "seed must be at most 2147483647"),
    ],
)
def test_bad_input(tmp_path, capsys, arguments, message):
    try:
        code = run("--out", tmp_path / "out", *arguments)
    except SystemExit as stop:
        code = stop.code
    assert code != 0
    text = "".join(capsys.readouterr())
    assert message in " ".join(text.replace("│", " ").split())


def test_a_small_disk_is_refused_early(tmp_path, scenes, monkeypatch, capsys):
    monkeypatch.setattr("data_gen.generation.store.LocalStore.free_bytes", lambda self: 50_000)
    options = ["--root", scenes, "--crop", 32, "--shard-size", 4]
    assert run("--out", tmp_path / "out", "--count", 400, *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the disk must have room for 400 more images, about" in error
    assert "received 0.05 MB free" in error
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not list((tmp_path / "out").rglob("*.tmp"))


def mounted(folder, *options):
    """A tmpfs at `folder`; skips where this user may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    yield lambda *options: mounted(folder, *options) or folder
    if folder.is_dir():
        subprocess.run(["umount", str(folder)], check=False, capture_output=True)


@pytest.mark.parametrize("layout", ["records", "folders"])
def test_a_full_disk_then_room(tmp_path, scenes, disk, capsys, monkeypatch, layout):
    # The estimate would refuse it before.
    monkeypatch.setattr("data_gen.generation.store.LocalStore.free_bytes", lambda self: 10**12)
    folder = disk("size=100k")
    options = ["--root", scenes, "--count", 30, "--crop", 40, "--shard-size", 3]
    options += ["--layout", layout]
    assert run("--out", folder / "out", *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {folder}/out: the disk must have room for the dataset")
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / "out" / "dataset.json").exists()
    subprocess.run(["mount", "-o", "remount,size=10m", str(folder)], check=True)
    assert run("--out", folder / "out", *options) == 0
    assert run("--out", tmp_path / "whole", *options) == 0
    assert contents(folder / "out") == contents(tmp_path / "whole")


def test_a_read_only_disk(disk, scenes, capsys):
    folder = disk("ro,size=1m")
    assert run("--out", folder / "out", "--root", scenes, "--count", 1) == 1
    assert "must be a folder that can be written; received" in capsys.readouterr().err


def test_the_folder_is_a_file(tmp_path, scenes, capsys):
    (tmp_path / "out").write_text("x")
    assert run("--out", tmp_path / "out", "--root", scenes, "--count", 1) == 1
    assert "must be a folder that can be written; received" in capsys.readouterr().err

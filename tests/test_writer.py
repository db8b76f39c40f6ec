"""python -m data_gen: datasets on disk that are complete, repeatable and can be continued."""

import json

import numpy as np
import pytest

from data_gen import __main__ as command
from data_gen import records


def run(*arguments):
    return command.main([str(argument) for argument in arguments])


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_records_are_repeatable_and_continue_byte_for_byte(tmp_path):
    options = ["--count", "5", "--crop", "32", "--shard-size", "2", "--seed", "3"]
    assert run("--out", tmp_path / "whole", *options) == 0
    whole = contents(tmp_path / "whole")
    assert len(whole) == 3 + 2  # shards, parameters.json, dataset.json
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
    shards, folder = records.open_records(tmp_path / "r"), records.open_folder(tmp_path / "f")
    for index in range(3):
        for a, b in zip(shards.read(index), folder.read(index), strict=True):
            np.testing.assert_array_equal(a, b)


def test_folders_in_the_authors_encoding(tmp_path):
    options = ["--count", "2", "--crop", "32", "--layout", "folders", "--encoding", "released"]
    assert run("--out", tmp_path, *options) == 0
    assert json.loads((tmp_path / "dataset.json").read_text())["encoding"] == "released"
    assert records.open_folder(tmp_path).encoding == "released"


def test_other_parameters_do_not_continue_a_dataset(tmp_path, capsys):
    assert run("--out", tmp_path, "--count", 2, "--crop", 32) == 0
    assert run("--out", tmp_path, "--count", 2, "--crop", 32, "--seed", 9) == 1
    error = capsys.readouterr().err
    assert "continued with the parameters it was begun with; received seed 9 instead of 0" in error


def test_whole_scenes_of_a_source(tmp_path, shared):
    source = shared / "data" / "native"
    assert run("--source", source, "--out", tmp_path, "--count", 1, "--layout", "folders") == 0
    image, defocus = records.open_folder(tmp_path).read(0)
    assert image.shape[:2] == defocus.shape and min(defocus.shape) >= 436


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--count", "0"], "count must be at least 1; received 0"),
        (["--count", "1", "--source", "nowhere"], "nowhere: a source must be a folder"),
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

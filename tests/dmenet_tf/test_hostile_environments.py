"""Whole commands, as processes, where somebody's settings are against them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from data_gen import exit_codes
from data_gen.io.images import write_png
from tests.support.paths import ROOT

PROXY = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
ENVIRONMENTS = {
    "a notebook's plots": {"MPLBACKEND": "module://no_such.backend"},
    "another backend of Keras": {"KERAS_BACKEND": "torch"},
    "settings of Keras": {},  # in the home, see `home`
    "a proxy": PROXY,
    "no UTF-8": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a narrow terminal": {"COLUMNS": "20", "LINES": "3"},
}
TOGETHER = {name: value for settings in ENVIRONMENTS.values() for name, value in settings.items()}
NOWHERE = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache"}
COMMANDS = {
    "predict": ("predict", "ä.png", "-o", "out"),
    "apply": ("apply", "magnify", "ä.png", "-o", "out"),
    "train": (
        "train", "--preset", "tiny", "--run", "out/run", "--steps", "2", "--width", "0.03",
        "--validation-examples", "1", "--procedural-scenes", "8",
    ),
    "synthesize": ("synthesize", "--out", "out", "--count", "1", "--crop", "32", "--jobs", "1"),
}  # fmt: skip


@pytest.fixture
def home(tmp_path):
    """A home whose Keras wants what no network here is built for; photos in the folder of work."""
    (tmp_path / "home/.keras").mkdir(parents=True)
    keras = {"image_data_format": "channels_first", "floatx": "float16", "backend": "jax"}
    (tmp_path / "home/.keras/keras.json").write_text(json.dumps(keras | {"epsilon": 1e-3}))
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    write_png(tmp_path / "ä.png", pixels)
    return tmp_path


def run(home, words, settings, **more):
    environment = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", *PROXY)}
    environment |= {"HOME": str(home / "home"), "PYTHONPATH": str(ROOT), **settings}
    return subprocess.run(
        [sys.executable, "-m", "dmenet_tf.cli", *words],
        cwd=home,
        env=environment,
        stderr=subprocess.PIPE,
        **({"stdout": subprocess.PIPE} | more),
    )


def check(done, home):
    """It ended well, and what it said beside its output are its own notes and progress."""
    error = done.stderr.decode(errors="replace")
    assert done.returncode == exit_codes.OK, error
    assert "Traceback" not in error and "Warning" not in error and "WARNING" not in error
    assert [path for path in (home / "out").rglob("*") if path.is_file()]


@pytest.mark.process
@pytest.mark.parametrize("command", ["predict"])
def test_all_at_once(home, command):
    check(run(home, COMMANDS[command], TOGETHER), home)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*ENVIRONMENTS, "together", "nowhere to write"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each(home, command, settings):
    chosen = {**ENVIRONMENTS, "together": TOGETHER, "nowhere to write": NOWHERE}[settings]
    check(run(home, COMMANDS[command], chosen), home)


@pytest.mark.process
@pytest.mark.parametrize("words", [("--help",), ("train", "--help-all"), COMMANDS["predict"]])
def test_output_that_nobody_reads_is_no_error(home, words):
    """As after `| head -1`: the reader goes before a word was written."""
    reader, writer = os.pipe()
    os.close(reader)
    done = run(home, words, {}, stdout=writer)
    os.close(writer)
    assert done.returncode == exit_codes.BROKEN_PIPE
    assert b"Traceback" not in done.stderr and b"Broken" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.process
def test_output_onto_a_full_disk_is_told_in_one_line(home):
    with open("/dev/full", "w") as full:
        done = run(home, ("--help",), {}, stdout=full)
    assert done.returncode == exit_codes.FAILED
    assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1

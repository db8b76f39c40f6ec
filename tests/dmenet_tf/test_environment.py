"""What is set before TensorFlow is imported, whatever the user's environment says."""

import json
import os
import subprocess
import sys

import pytest

from dmenet_tf import environment
from tests.support.paths import ROOT


@pytest.fixture
def variables(monkeypatch):
    """An environment that a test may change."""
    kept = dict(os.environ)
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_what_other_programs_need_is_overruled(variables):
    variables |= {"KERAS_BACKEND": "torch", "MPLBACKEND": "module://of.a_notebook"}
    environment.prepare()
    assert (variables["KERAS_BACKEND"], variables["MPLBACKEND"]) == ("tensorflow", "agg")


def test_what_the_user_chose_for_tensorflow_stays(variables):
    variables |= {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "0"}
    environment.prepare()
    assert (variables["TF_ENABLE_ONEDNN_OPTS"], variables["TF_CPP_MIN_LOG_LEVEL"]) == ("0", "0")


def test_what_nobody_chose_is_set(variables):
    for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL", "TF_NUM_INTRAOP_THREADS"):
        variables.pop(name, None)
    environment.prepare()
    assert (variables["TF_ENABLE_ONEDNN_OPTS"], variables["TF_CPP_MIN_LOG_LEVEL"]) == ("1", "3")
    assert "TF_NUM_INTRAOP_THREADS" not in variables
    environment.prepare(threads=3)
    assert variables["TF_NUM_INTRAOP_THREADS"] == variables["OMP_NUM_THREADS"] == "3"


def test_a_library_leaves_the_notebooks_pictures_alone(variables):
    variables["MPLBACKEND"] = "module://of.a_notebook"
    environment.prepare_library()
    assert variables["MPLBACKEND"] == "module://of.a_notebook"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1,10.0.0.5"),
        ({"no_proxy": "intra.net"}, "intra.net,localhost,127.0.0.1,::1,10.0.0.5"),
        ({"NO_PROXY": "a, 127.0.0.1,"}, "a,127.0.0.1,localhost,::1,10.0.0.5"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_no_proxy_leads_to_this_machine(variables, given, expected):
    for name in ("no_proxy", "NO_PROXY"):
        variables.pop(name, None)
    variables |= given
    environment.reach_directly("10.0.0.5")
    assert variables["no_proxy"] == variables["NO_PROXY"] == expected


HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "KERAS_BACKEND": "torch",
}


def test_every_command_settles_the_environment_before_anything_reads_it():
    """Each `main` prepares first; and no module of a command imports, by then, what reads it."""
    program = f"""
import os, sys, io, contextlib
from dmenet_tf.cli import commands
for name, command in commands().items():
    os.environ.update({HOSTILE!r})
    loaded = command.load()
    early = {{"tensorflow", "keras", "matplotlib"}} & set(sys.modules)
    assert not early, f"{{name}} imports {{early}}"
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        loaded.main(["--no-such-option"])
    found = os.environ["MPLBACKEND"], os.environ["KERAS_BACKEND"]
    assert found == ("agg", "tensorflow"), f"{{name}} leaves {{found}}"
    print(name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names = {
        "train",
        "predict",
        "evaluate",
        "apply",
        "synthesize",
        "export",
        "serve",
        "page",
        "pack",
    }
    assert names <= set(done.stdout.split())


@pytest.mark.process
def test_a_network_is_the_same_under_other_settings_of_keras(tmp_path):
    settings = {"floatx": "float16", "epsilon": 1e-3, "backend": "torch"}
    settings |= {"image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    program = (
        "from dmenet_tf.environment import prepare, settle_keras; prepare(); settle_keras()\n"
        "from dmenet_tf.networks import build_blur_estimation\n"
        "model = build_blur_estimation(0.03)\n"
        "print(model.input_shape, model.get_layer('conv1_1').dtype_policy.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"},
    )
    assert done.stdout.strip() == "(None, None, None, 3) float32", done.stderr

"""The package on older stacks, and runs and models from either stack on the other.

    make older-stack

makes the environments; those that are there already are named by DMENET_STACK_2_15 and
DMENET_STACK_2_16, each the path of an interpreter that has the package with the extra [serving]
(2.15: and [addons]), pytest and hypothesis.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_gen.scenes.photographs import load_photographs
from tests.support.environments import python_of
from tests.support.paths import ROOT

pytestmark = pytest.mark.older_stack

TESTS = ("pytest", "hypothesis")
STACKS = {
    "2.15": ((3, 11), [f"{ROOT}[addons,serving]", *TESTS]),
    "2.16": ((3, 12), ["tensorflow==2.16.*", f"{ROOT}[serving]", *TESTS]),
}
# Losses of one step from the same weights and batch: float32 sums in another order. A weight that
# was not restored changes them by far more.
LOSSES_RTOL = 1e-4
# Gradients add up more rounding; relative to all of a network's together.
MOMENTUM_RTOL = 1e-3
# Of maps in pixels of sigma, 0 to 7: one step of the file's 16 bits is 1e-4.
SIGMA_PX_ATOL = 1e-3


@pytest.fixture(scope="module", params=STACKS)
def stack(request, pytestconfig):
    """(version of TensorFlow, interpreter that has it)."""
    newest, packages = STACKS[request.param]
    variable = f"DMENET_STACK_{request.param.replace('.', '_')}"
    if sys.version_info[:2] > newest and not os.environ.get(variable):
        pytest.skip(
            f"TensorFlow {request.param} is made for Python up to {'.'.join(map(str, newest))}, "
            f"and {variable} names no interpreter"
        )
    name = f"stack-{request.param}"
    return request.param, python_of(pytestconfig, name, packages, variable)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks") / "here"
    work(sys.executable, "make", with_photo(folder))
    return folder


@pytest.fixture(scope="module")
def exchanged(stack, here, tmp_path_factory):
    """(folder of the current stack, folder of the older one), each with what both made of it."""
    version, python = stack
    there = tmp_path_factory.mktemp("stacks") / f"there-{version}"
    about = work(python, "make", with_photo(there))
    assert about["tensorflow"].startswith(version)
    work(python, "take", there, here)
    work(sys.executable, "take", here, there)
    return here, there


def with_photo(folder: Path) -> Path:
    folder.mkdir()
    photo = next(iter(load_photographs().values()))
    cv2.imwrite(str(folder / "photo.png"), cv2.resize(photo, (96, 64))[..., ::-1])
    return folder


def run(python, *arguments):
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, *map(str, arguments)],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def work(python, *arguments) -> dict:
    return json.loads(run(python, "-m", "tests.support.stack_work", *arguments).splitlines()[-1])


def values(folder: Path, step: int | None = None) -> dict:
    """{name: value} of a folder of checkpoints, of its latest or of a step."""
    path = folder / f"ckpt-{step}" if step else tf.train.latest_checkpoint(str(folder))
    reader = tf.train.load_checkpoint(str(path))
    names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    # Counts saves, of which the copy has made another number.
    return {n: reader.get_tensor(n) for n in sorted(names) if not n.startswith("save_counter")}


@pytest.mark.parametrize("origin", [0, 1], ids=["made_here", "made_there"])
def test_runs_and_models_of_either_stack_on_the_other(exchanged, origin, capsys):
    source = exchanged[origin]
    before = values(source / "run" / "checkpoints")
    results = []
    for folder in exchanged:
        restored = values(folder / f"{source.name}-steps" / "checkpoints", 6)
        assert restored.keys() == before.keys()
        for name, value in restored.items():  # all of it, bit for bit
            np.testing.assert_array_equal(value, before[name], err_msg=name)
        results.append(
            (
                json.loads((folder / f"{source.name}.json").read_text()),
                values(folder / f"{source.name}-steps" / "checkpoints", 7),
                dict(np.load(folder / f"{source.name}.npz")),
            )
        )
    (losses, after, maps), (old_losses, old_after, old_maps) = results
    momentum, old_momentum = (
        np.concatenate([v.ravel() for n, v in sorted(state.items()) if "/momentum/" in n])
        for state in (after, old_after)
    )
    figures = {
        "losses": max(abs(losses[n] / old_losses[n] - 1) for n in losses if n != "d_accuracy"),
        "momentum": np.linalg.norm(momentum - old_momentum) / np.linalg.norm(momentum),
        **{f"maps by the {n}": np.abs(maps[n] - old_maps[n]).max() for n in maps},
    }
    with capsys.disabled():
        print(f"\n{source.name}: " + ", ".join(f"{n} {v:.1e}" for n, v in figures.items()))
    assert losses.keys() == old_losses.keys() and figures["losses"] < LOSSES_RTOL
    assert figures["momentum"] < MOMENTUM_RTOL
    assert int(after["step/.ATTRIBUTES/VARIABLE_VALUE"]) == 7
    assert maps["run"].shape == (64, 96) and np.ptp(maps["run"]) > 10 * SIGMA_PX_ATOL
    assert all(v < SIGMA_PX_ATOL for n, v in figures.items() if n.startswith("maps"))


def test_the_command_line_goes_on_with_the_others_run(exchanged):
    for folder, other in (exchanged, exchanged[::-1]):
        for resumed in ("resumed", f"{other.name}-resumed"):
            path = tf.train.latest_checkpoint(str(folder / resumed / "checkpoints"))
            assert path.endswith("ckpt-7")
        assert list((folder / "maps").iterdir()) and list((folder / "refocused").iterdir())


def test_the_optimizers_there(stack):
    """Those of tensorflow-addons, where it is; and the blur against its Gaussian filter."""
    files = ["keras_versions", "layout", "optimizers"]
    files = [f"tests/dmenet_tf/test_{name}.py" for name in files]
    files += ["tests/data_gen/test_gaussian_reference.py"]
    # The rule that warnings are errors is for the current versions of libraries.
    run(stack[1], "-m", "pytest", "-p", "no:cacheprovider", "-o", "filterwarnings=", *files)

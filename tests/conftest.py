"""Shared by all tests: quiet TensorFlow, the folder of reference data, an older TensorFlow."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores instead of competing for them
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from tests.support.paths import SHARED

# No property test fails because the machine is busy, and all draw the same examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture
def shared():
    """The folder with reference numbers and real scenes; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data folder, which is not at {SHARED} (DMENET_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def old_tensorflow(pytestconfig):
    """The Python of an environment with TensorFlow 2.15: made once, kept in pytest's cache."""
    from tests.support.environments import python_of

    if sys.version_info >= (3, 12):
        pytest.skip("TensorFlow 2.15 is made for Python 3.9 to 3.11")
    # Beside it what networks, losses and `dmenet_tf.weights.published` import; nothing of Keras 3.
    packages = ["tensorflow==2.15.*", "opencv-python-headless", "pillow", "tyro"]
    return python_of(pytestconfig, "tensorflow-2.15", packages)


@pytest.fixture
def scenes(tmp_path):
    """Three scenes with files of their own: noise, two planes of depth."""
    from data_gen.io.images import write_png

    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        folder = tmp_path / "scenes" / name
        folder.mkdir(parents=True)
        write_png(folder / "rgb.png", rng.integers(0, 256, (40, 52, 3), dtype=np.uint8))
        depth = np.where(np.arange(52) < 20, 1000, 3000) * np.ones((40, 1))
        write_png(folder / "depth.png", depth.astype(np.uint16))
    return tmp_path / "scenes"


@pytest.fixture
def nothing_shipped(monkeypatch, tmp_path):
    """An installation without trained weights."""
    from dmenet_tf.weights import shipped

    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "none.npz")


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """The folder of a run of a few steps on embedded data. Trained once, not to be changed."""
    from dmenet_tf import train

    run = tmp_path_factory.mktemp("runs") / "demo"
    assert train.main(["--preset", "tiny", "--run", str(run)]) == 0
    return run


def _exported(factory, encoding, licence=""):
    from dmenet_tf.networks import build_blur_estimation
    from dmenet_tf.weights.load import TrainedModel
    from serving import contract
    from serving.exporting.publishing import publish
    from tests.support.lively import lively

    trained = TrainedModel(
        lively(build_blur_estimation(0.03)), encoding, "runs/some", "0123456789ab", licence
    )
    models = factory.mktemp("models")
    publish(trained, models / contract.MODEL_NAME)
    return trained, models


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small model in the paper's encoding and the folder of models that it was exported to as
    version 1: (`TrainedModel`, folder). Made once, not to be changed."""
    return _exported(tmp_path_factory, "paper")


@pytest.fixture(scope="session")
def exported_released(tmp_path_factory):
    """The same in the encoding of the authors' checkpoint, whose sigma is not 7 * defocus."""
    from dmenet_tf.weights.load import AUTHORS_TERMS

    return _exported(tmp_path_factory, "released", AUTHORS_TERMS)

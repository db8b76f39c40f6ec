"""The model that the package ships: it is found, says what it is, and its maps follow the focus."""

from dataclasses import replace

import numpy as np
import pytest

import dmenet_tf
from data_gen.scenes.photographs import load_photographs
from dmenet_tf import predict
from dmenet_tf.config import Config
from dmenet_tf.presets import PRESETS
from dmenet_tf.training.run import _build_networks
from dmenet_tf.weights.load import load_weights
from dmenet_tf.weights.shipped import NAMES, named, shipped_weights

LARGEST_MIB = {"shipped": 8, "large": 56}


@pytest.fixture(scope="module", params=NAMES)
def estimator(request):
    with dmenet_tf.load(request.param) as estimator:
        estimator.name = request.param
        yield estimator


def test_the_file_is_small_and_says_what_it_is(estimator):
    assert NAMES[estimator.name].stat().st_size < LARGEST_MIB[estimator.name] * 2**20
    metadata = estimator.metadata
    assert metadata.encoding == "paper" and metadata.recommended_side
    assert metadata.licence.startswith("For research use")


def test_a_name_means_a_file_of_the_package_unless_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {name: named(name) for name in NAMES} == NAMES
    assert str(named("runs/demo")) == "runs/demo"
    assert named("small") == shipped_weights()  # as it was called before
    (tmp_path / "large").mkdir()
    assert named("large").resolve() == tmp_path / "large"


@pytest.mark.parametrize(
    ("name", "sharp", "blurred"),
    [
        # The cat's face, and the room behind it; a portrait, and the wall behind it.
        ("chelsea", np.s_[60:160, 90:280], np.s_[150:250, 400:450]),
        ("astronaut", np.s_[60:160, 180:270], np.s_[0:100, 430:512]),
    ],
)
def test_what_is_in_focus_has_the_lower_sigma(estimator, name, sharp, blurred):
    sigma_px = estimator(load_photographs()[name]).sigma_px
    assert np.median(sigma_px[blurred]) > 2 * np.median(sigma_px[sharp])


def test_a_run_may_start_from_it_and_needs_no_vgg19():
    network = PRESETS["finetune"].config.network
    config = Config(network=replace(network, parts="B", statistics="synthetic"))
    resolved, networks = _build_networks(config, resume=False)
    assert resolved.network.label_encoding == "paper"
    large = load_weights(NAMES["large"]).model.get_weights()
    for ours, theirs in zip(networks.blur_estimation.get_weights(), large, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.process
def test_predict_needs_no_option(tmp_path, monkeypatch, capsys):
    from data_gen.io.images import write_png

    monkeypatch.chdir(tmp_path)
    write_png("cat.png", load_photographs()["chelsea"])
    assert predict.main(["cat.png"]) == 0
    assert (tmp_path / "maps" / "cat.png.colour.png").is_file()
    assert "research use" in capsys.readouterr().err

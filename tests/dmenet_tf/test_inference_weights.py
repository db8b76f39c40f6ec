"""B for inference from weights, without a Keras model where there need be none."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.folding import fold
from dmenet_tf.weights.load import TrainedModel, load_for_inference, load_weights
from dmenet_tf.weights.published import save_published
from tests.support.lively import lively


@pytest.fixture(scope="module")
def b():
    return lively(build_blur_estimation(0.03))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_graph_for_inference_comes_without_a_keras_model(tmp_path, b, dtype, monkeypatch):
    said = {"recommended_side": 320, "statistics": "photos", "licence": "research use"}
    save_published(tmp_path / "w.npz", b, encoding="paper", about=said, dtype=dtype)
    trained = load_weights(tmp_path / "w.npz")
    expected = fold(trained.model)
    monkeypatch.setattr("dmenet_tf.weights.load.load_weights", None)  # it would build one
    found = load_for_inference(tmp_path / "w.npz")
    for name in ("encoding", "origin", "identity", *said):
        assert getattr(found, name) == getattr(trained, name)
    image = tf.random.uniform((1, 32, 48, 3))
    np.testing.assert_array_equal(found.model(image), expected(image))


def test_a_graph_for_inference_comes_from_a_loaded_model(b):
    trained = TrainedModel(b, "paper", "runs/some", "0" * 12, "", 320, "photos")
    found = load_for_inference(trained)
    assert (found.identity, found.recommended_side) == ("0" * 12, 320)
    assert found.model.channels == b.get_layer("conv1_1").filters


@pytest.mark.parametrize("change", ["missing", "unknown", "misshapen"])
def test_what_is_no_whole_network_is_said_before_a_map_is_made(tmp_path, b, change):
    save_published(tmp_path / "w.npz", b, encoding="paper")
    with np.load(tmp_path / "w.npz") as file:
        arrays = dict(file)
    name = "main_net/defocus_net/decoder/uf/c1/W_conv2d:0"
    array = arrays.pop(name)
    if change == "unknown":
        arrays |= {name: array, "main_net/defocus_net/more:0": array}
    elif change == "misshapen":
        arrays[name] = array[:, :, 1:]
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match="missing|unknown|shape of"):
        load_for_inference(tmp_path / "w.npz")

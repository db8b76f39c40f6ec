"""The ONNX file: the Keras model's maps, by a runtime without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

import onnxruntime

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.prediction.local import predict_defocus
from dmenet_tf.weights.load import TrainedModel, load_weights, save_weights
from serving import export
from serving.exporting import onnx_file, verification
from serving.exporting.checks import PublishError
from tests.support.lively import lively
from tests.support.pictures import photo

PROGRAM = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(sigma,) = session.run(["sigma_px"], {"image": numpy.load(sys.argv[2])})
numpy.save(sys.argv[3], sigma)
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""


def trained(encoding="paper"):
    model = lively(build_blur_estimation(0.0625, 0.03))
    return TrainedModel(model, encoding, "runs/some", "0123456789ab", "terms", 416, "photos")


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.mark.parametrize("encoding", ["paper", "released"])
def test_maps_are_the_keras_models_at_any_size(tmp_path, encoding):
    model = trained(encoding)
    assert onnx_file.export_onnx(model, tmp_path / "a.onnx") < verification.LARGEST_DIFFERENCE
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    for size in ((64, 96), (16, 32)):  # others than the export compares
        images = np.stack([photo(*size), photo(*size)[::-1]]) / np.float32(255)
        expected = predict_defocus(model.model, images)
        found, sigma_px = session.run(["defocus", "sigma_px"], {"image": images})
        assert found.shape == expected.shape and expected.std() > 0.02
        np.testing.assert_allclose(found, expected, rtol=0, atol=verification.LARGEST_DIFFERENCE)
        in_pixels = ENCODINGS[encoding].label_to_sigma(found)
        np.testing.assert_allclose(sigma_px, in_pixels, rtol=0, atol=1e-5 * SIGMA_MAX_PX)


def test_the_file_says_what_the_model_is(tmp_path, model):
    onnx_file.export_onnx(model, tmp_path / "a.onnx", recommended_side=320)
    about = onnxruntime.InferenceSession(tmp_path / "a.onnx").get_modelmeta().custom_metadata_map
    assert (about["model"], about["encoding"]) == ("0123456789ab", "paper")
    assert (about["licence"], about["recommended_side"]) == ("terms", "320")
    assert "pixels of the photo" in about["units"]


def test_a_wrong_graph_is_not_written(tmp_path, model, monkeypatch):
    monkeypatch.setattr(onnx_file, "LEAKY_SLOPE", 0.1)
    with pytest.raises(PublishError, match=r"as the Keras model does.*Nothing was written"):
        onnx_file.export_onnx(model, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_the_command_writes_a_file_that_needs_no_tensorflow(tmp_path, model, capsys):
    save_weights(tmp_path / "w.npz", model)
    out = tmp_path / "new" / "dmenet.onnx"
    assert export.main(["--weights", str(tmp_path / "w.npz"), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert f"wrote {out}" in printed.out and "differs by" in printed.out
    assert printed.err == "note: terms\n"
    image = photo(32, 48)[None] / np.float32(255)
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", PROGRAM, out, tmp_path / "image.npy", tmp_path / "sigma.npy"]
    subprocess.run(command, check=True)
    # The packed model's weights are rounded to float16.
    expected = 7 * predict_defocus(load_weights(tmp_path / "w.npz").model, image)
    bound = 7 * verification.LARGEST_DIFFERENCE
    np.testing.assert_allclose(np.load(tmp_path / "sigma.npy"), expected, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["-o", "models", "--format", "onnx"], "writes a file that ends in .onnx"),
        (["-o", "a.onnx", "--format", "saved-model"], "writes a file that ends in .onnx"),
        (["-o", "a.onnx", "--version", "3"], "--version goes with saved-model"),
    ],
)
def test_options_that_cannot_be_are_one_line(options, rule, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert export.main(options) == 2
    error = capsys.readouterr().err
    assert rule in error and error.count("\n") == 1 and not list(tmp_path.iterdir())

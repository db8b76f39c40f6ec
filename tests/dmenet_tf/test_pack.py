"""Weights as one file: what is written, and what is refused before any work."""

import keras
import numpy as np
import pytest

from dmenet_tf import pack
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.weights.load import TrainedModel, load_weights, save_weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of weights with the same network."""
    folder, paths = tmp_path_factory.mktemp("weights"), []
    for seed in (1, 2):
        paths.append(str(folder / f"{seed}.npz"))
        keras.utils.set_random_seed(seed)
        trained = TrainedModel(build_blur_estimation(0.0625), "paper", "", "", "", 320, "photos")
        save_weights(paths[-1], trained, licence="For tests")
    return paths


def test_several_weights_become_their_mean_and_all_that_is_known_of_them_travels(
    files, tmp_path, capsys
):
    out = tmp_path / "new" / "mean.npz"
    assert pack.main(["--weights", *files, "-o", str(out), "--max-side", "400"]) == 0
    mean, first, second = map(load_weights, (out, *files))
    assert (mean.recommended_side, mean.licence, mean.statistics) == (400, "For tests", "photos")
    for m, a, b in zip(*(t.model.get_weights() for t in (mean, first, second)), strict=True):
        np.testing.assert_allclose(m, (a + b) / 2, rtol=2**-10, atol=1e-6)  # float16
    assert f"wrote {out}" in capsys.readouterr().out


def test_calibration_moves_logits_and_keeps_their_order(files, tmp_path):
    out = tmp_path / "calibrated.npz"
    assert pack.main(["--weights", files[0], "-o", str(out), "--calibrate", "1.25", "-0.5"]) == 0
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)

    def logits_of(path):
        model = load_weights(path).model
        return keras.Model(model.input, model.get_layer("final_conv3").output)(image)

    before, after = logits_of(files[0]), logits_of(out)
    # float16 rounds the last layer's weights, of which a logit is a sum.
    np.testing.assert_allclose(after, 1.25 * before - 0.5, atol=2**-10 * np.abs(before).max())
    assert load_weights(out).identity != load_weights(files[0]).identity


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "--weights"),
        (["--weights", "a", "-o", "b.h5"], 2, "must be a file that ends in .npz; received b.h5"),
        (["--weights", "a", "-o", "b.npz", "--max-side", "3"], 2, "at least 16; received 3"),
        (["--weights", "a", "-o", "b.npz", "--encoder-width", "0"], 2, "above 0; received 0"),
        (["--weights", "a", "-o", "b.npz", "--calibrate", "-1", "0"], 2, "above 0; received -1"),
        (["--weights", "nowhere", "-o", "b.npz"], 1, "there is no nowhere"),
    ],
)
def test_wrong_options_are_one_line(options, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert pack.main(options) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())

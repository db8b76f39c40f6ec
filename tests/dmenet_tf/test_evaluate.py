"""python -m dmenet_tf.evaluate and its engine: files, cache, resume, refusals."""

import csv
import re
import shutil

import numpy as np
import pytest

from data_gen.dataset.folders import write_folder_example
from data_gen.io.images import write_png
from dmenet_tf import evaluate
from dmenet_tf.data.labelled import LabelledPhotos
from dmenet_tf.evaluation import opening
from dmenet_tf.evaluation import runner as evaluation
from dmenet_tf.evaluation.protocols import CUHK, DBD, SYNDOF
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.prediction import local
from dmenet_tf.prediction.local import Predictor
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import Prediction
from dmenet_tf.weights.published import save_published

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    save_published(path, build_blur_estimation(0.03), encoding="paper")
    return path


@pytest.fixture(scope="module")
def predictor(weights):
    """The network of `weights`, traced once."""
    return Predictor(weights)


@pytest.fixture
def cuhk(tmp_path):
    """Six photos whose left half is noise and in focus, and whose right half is flat."""
    for number in range(1, 7):
        image = np.full((32, 40, 3), 100 + number, np.uint8)
        image[:, :20] = RNG.integers(0, 256, (32, 20, 3))
        mask = np.zeros((32, 40), np.uint8)
        mask[:, 20:] = 255
        write_png(tmp_path / "cuhk" / "image" / f"photo{number:04d}.png", image)
        write_png(tmp_path / "cuhk" / "gt" / f"photo{number:04d}.png", mask)
    return tmp_path / "cuhk"


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def run(*arguments):
    return evaluate.main([str(argument) for argument in arguments])


def test_a_whole_evaluation(cuhk, weights, tmp_path, capsys):
    out = tmp_path / "out"
    again = tmp_path / "again.npz"
    shutil.copy(weights, again)
    code = run(
        "--protocol", "cuhk", "--data", cuhk, "--names", "0002-0005", "--out", out,
        "--weights", weights, again, "--titles", "first", "<b>second</b>",
    )  # fmt: skip
    assert code == 0
    table = capsys.readouterr().out
    assert "accuracy" in table and "first" in table and "4 images" in table
    summary = {row["row"]: row for row in rows_of(out / "summary.csv")}
    assert list(summary) == [
        "first", "<b>second</b>",
        "always blurred", "3x3 Laplacian, window 16 px", "log-Laplacian energy",
    ]  # fmt: skip
    assert float(summary["always blurred"]["accuracy"]) == 0.5
    assert float(summary["log-Laplacian energy"]["ap"]) > 0.9
    # The same weights under two names: the same figures, and one folder of predictions.
    assert summary["first"]["ap"] == summary["<b>second</b>"]["ap"]
    assert len(list((out / "cache").iterdir())) == 1
    assert len(list((out / "cache").glob("*/*.npy"))) == 4
    images = rows_of(out / "images.csv")
    assert {row["image"] for row in images} == {f"photo000{n}" for n in range(2, 6)}
    mean = np.mean([float(row["accuracy"]) for row in images if row["row"] == "first"])
    assert mean == pytest.approx(float(summary["first"]["accuracy"]), rel=1e-12)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;second" in page and "<b>second" not in page


def test_a_row_of_each_size_at_which_the_network_sees_the_photo(
    cuhk, weights, predictor, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(local, "Predictor", lambda path: predictor)
    out = tmp_path / "out"
    sizes = ("--max-side", "0", "20", "400")
    assert (
        run("--protocol", "cuhk", "--data", cuhk, "--weights", weights, "--out", out, *sizes) == 0
    )
    rows = {row["row"]: row for row in rows_of(out / "summary.csv")}
    seen = {title: row["size"] for title, row in rows.items() if row["kind"] == "run"}
    assert seen == {
        "small.npz, full size": "full size", "small.npz, 20 px": "20 px",
        "small.npz, 400 px": "400 px",
    }  # fmt: skip
    assert rows["always blurred"]["size"] == "full size"
    assert "20 px" in capsys.readouterr().out
    # The photos are smaller than 400 px: seen as they are.
    figures = [[float(rows[t][k]) for k in ("accuracy", "ap")] for t in seen]
    assert figures[0] == figures[2] != figures[1]
    maps = {path.parent.name.partition("-")[2]: path for path in out.glob("cache/*/*.npy")}
    assert set(maps) == {"", "20px", "400px"}
    assert np.load(maps["20px"]).shape == (32, 40)


def test_figures_are_those_of_the_predictors_maps(cuhk, predictor, tmp_path):
    samples = evaluation.Samples(LabelledPhotos(cuhk), CUHK, progress=False)
    protocol = CUHK
    row = evaluation.run_row(
        "run", predictor, samples, protocol, tmp_path / "cache", progress=False
    )
    for index in range(len(samples)):
        label = predictor.defocus(samples[index].image)
        assert row.map_of(index) == pytest.approx(label, abs=1e-6)
        assert row.measured[index].figures == protocol.measure(label, samples[index].truth).figures


class Counting:
    """A predictor that counts, and can be interrupted after so many photos."""

    encoding, metadata = "paper", Metadata("abc", "paper")

    def __init__(self, stop_after=None, value=0.5):
        self.trained = type("Trained", (), {"identity": "abc", "origin": "runs/x"})()
        self.calls, self.stop_after, self.value = 0, stop_after, value

    def predict(self, image, *, max_side=None):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        label = np.full(image.shape[:2], self.value, np.float32)
        return Prediction(label * 7, label, self.metadata, 1.0)


def test_an_interrupted_evaluation_goes_on(cuhk, tmp_path):
    protocol = CUHK
    samples = evaluation.Samples(LabelledPhotos(cuhk), protocol, progress=False)

    def row(predictor):
        return evaluation.run_row("x", predictor, samples, protocol, tmp_path, progress=False)

    with pytest.raises(KeyboardInterrupt):
        row(Counting(stop_after=4))
    second = Counting()
    row(second)
    assert second.calls == 2
    # Another protocol on the same photos predicts nothing.
    third, dbd = Counting(), DBD
    evaluation.run_row("x", third, samples, dbd, tmp_path, progress=False)
    assert third.calls == 0
    # A damaged file is predicted anew; other pixels are another photo.
    next(tmp_path.glob("abc/*.npy")).write_bytes(b"\x93NUMPY cut")
    write_png(cuhk / "image" / "photo0001.png", np.full((32, 40, 3), 9, np.uint8))
    changed = evaluation.Samples(LabelledPhotos(cuhk), protocol, progress=False)
    fourth = Counting()
    evaluation.run_row("x", fourth, changed, protocol, tmp_path, progress=False)
    assert fourth.calls in (1, 2)  # 1: the damaged one was that of the photo now changed
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_models_recommended_size_is_the_default(cuhk, tmp_path):
    """A quarter, and what the network says there in its own pixels, not cut off at 7 px."""
    metadata = Metadata("abc", "paper", recommended_side=10)
    asked = []

    class Recommending(Counting):
        def predict(self, image, *, max_side=None):
            asked.append(max_side)
            sigma_px = np.tile(np.linspace(0, 28, image.shape[1], dtype=np.float32), (32, 1))
            return Prediction(sigma_px, np.minimum(sigma_px / 7, 1), metadata, 0.25)

    predictor = Recommending()
    predictor.metadata = metadata
    samples = evaluation.Samples(LabelledPhotos(cuhk), CUHK, progress=False)
    row = evaluation.run_row("x", predictor, samples, CUHK, tmp_path, progress=False)
    assert row.size == "10 px" and set(asked) == {None}
    assert row.map_of(0)[0] == pytest.approx(np.linspace(0, 1, 40))
    # In pixels of the photo where they are compared as such.
    regression = evaluation.Samples(LabelledPhotos(cuhk), SYNDOF, progress=False)
    row = evaluation.run_row("x", predictor, regression, SYNDOF, tmp_path, progress=False)
    assert row.map_of(0)[0] == pytest.approx(np.minimum(np.linspace(0, 4, 40), 1), abs=1e-6)


def test_a_nan_is_never_averaged(cuhk, tmp_path):
    samples = evaluation.Samples(LabelledPhotos(cuhk), CUHK, progress=False)
    with pytest.raises(ValueError, match=r"1280 NaN .* of 1280 on photo0001 from runs/x"):
        evaluation.run_row("x", Counting(value=np.nan), samples, CUHK, tmp_path, progress=False)
    assert not list(tmp_path.glob("abc/*.npy"))


def test_samples_beyond_the_memory_are_read_again(cuhk, monkeypatch):
    whole = evaluation.Samples(LabelledPhotos(cuhk), CUHK, progress=False)
    monkeypatch.setattr(evaluation, "KEPT_BYTES", 10_000)  # one photo and its mask: 8,960
    part = evaluation.Samples(LabelledPhotos(cuhk), CUHK, progress=False)
    assert len(part._kept) == 1 and part.hashes == whole.hashes
    assert all(np.array_equal(part[i].image, whole[i].image) for i in range(6))


def test_unreadable_photos_stop_it_before_any_work(cuhk, weights, tmp_path, capsys):
    (cuhk / "image" / "photo0002.png").write_bytes(b"no image")
    (cuhk / "gt" / "photo0005.png").write_bytes(b"")
    out = tmp_path / "out"
    assert run("--protocol", "cuhk", "--data", cuhk, "--weights", weights, "--out", out) == 1
    error = capsys.readouterr().err
    assert "2 of 6" in error and "photo0002.png" in error and "photo0005.png" in error
    assert not out.exists()


def test_the_wrong_polarity_is_refused(cuhk, tmp_path, capsys):
    arguments = ["--protocol", "dbd", "--data", cuhk, "--out", tmp_path / "out"]
    assert run(*arguments, "--polarity", "sharp") == 1
    assert "other --polarity" in capsys.readouterr().err
    assert run(*arguments, "--polarity", "blurred") == 0


def test_ready_made_pairs_of_any_encoding(tmp_path, capsys):
    sigma_px = np.linspace(0, 7, 32 * 32).reshape(32, 32)
    image = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    figures = {}
    for encoding in ("generator", "released"):
        write_folder_example(tmp_path / encoding, "a", image, sigma_px, encoding)
        out = tmp_path / "out" / encoding
        assert run("--protocol", "syndof", "--data", tmp_path / encoding, "--out", out) == 0
        figures[encoding] = {row["row"]: row for row in rows_of(out / "summary.csv")}
    for row in figures["released"]:
        ours, theirs = (figures[e][row]["mse"] for e in ("released", "generator"))
        assert float(ours) == pytest.approx(float(theirs), abs=1e-3)
    # Uniform in 0 .. 1: the best constant is 1/2 and its MSE the variance, 1/12.
    oracle = figures["released"]["best constant (oracle): 0.500"]
    assert oracle["kind"] == "oracle" and float(oracle["mse"]) == pytest.approx(1 / 12, abs=1e-3)
    assert float(oracle["mse_15"]) == pytest.approx(float(oracle["mse"]) * (14 / 15) ** 2)


def test_depth_of_half_the_size_is_resized_where_it_is_asked_for(tmp_path, capsys):
    depth = np.linspace(1, 3, 16 * 24, dtype=np.float32).reshape(16, 24)
    write_png(tmp_path / "s/a/rgb.png", RNG.integers(0, 256, (32, 48, 3), np.uint8))
    np.save(tmp_path / "s/a/depth.npy", depth)
    arguments = ["--protocol", "syndof", "--data", tmp_path / "s", "--out", tmp_path / "out"]
    assert run(*arguments) == 1
    assert "--resize-depth nearest resizes depth" in capsys.readouterr().err
    assert run(*arguments, "--resize-depth", "nearest") == 0
    assert "best constant" in capsys.readouterr().out


def test_embedded_scenes_need_no_data(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "PROCEDURAL_SIDE_PX", 32)
    out = tmp_path / "out"
    arguments = ["--protocol", "syndof", "--count", "3", "--out", out]
    assert run(*arguments) == 0
    assert len({row["image"] for row in rows_of(out / "images.csv")}) == 3


def test_the_rtf_photo(shared, tmp_path):
    folder = shared / "reference" / "rtf"
    table = folder / "gaussian_sigma_of_disc_radius.csv"
    mse = {}
    for name, options in (("table", ["--radius-table", table]), ("formula", [])):
        out = tmp_path / name
        assert run("--protocol", "rtf", "--data", folder, "--out", out, *options) == 0
        (mse[name],) = (
            float(row["mse"])
            for row in rows_of(out / "summary.csv")
            if row["row"] == "always blurred"
        )
    assert 0.4 < mse["table"] < mse["formula"] < 0.7  # half the radius is the smaller sigma


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--protocol", "cuhk"], "needs --data"),
        (["--protocol", "cuhk", "--data", "nowhere"], "must exist; received nowhere"),
        (["--protocol", "syndof", "--alpha", "0.3"], "--alpha belongs to cuhk"),
        (["--protocol", "cuhk", "--data", ".", "--held-out"], "--held-out belongs to syndof"),
        (["--protocol", "cuhk", "--data", ".", "--alpha", "3"], r"must lie in \[0, 1\]"),
        (["--protocol", "syndof", "--count", "0"], "--count must be above 0"),
        (["--protocol", "syndof", "--examples", "0"], "--count must be above 0"),  # its old name
        (["--protocol", "syndof", "--weights", ".", "."], "all be different"),
        (["--protocol", "syndof", "--titles", "a"], "one for each of 0"),
        (["--protocol", "syndof", "--pictures", "-1", "0"], "not be negative"),
        (["--protocol", "rtf", "--data", ".", "--polarity", "sharp"], "belongs to cuhk, dbd"),
        (["--protocol", "dbd", "--data", ".", "--alpha", "0.3"], "--alpha belongs to cuhk;"),
        (["--protocol", "segments", "--data", ".", "--seed", "-1"], "seed must not be negative"),
        (["--protocol", "syndof", "--max-side", "320", "-1"], "0 or at least 16; received -1"),
        (["--protocol", "syndof", "--max-side", "320", "320"], "different"),
    ],
)
def test_refusals(arguments, message, capsys):
    assert evaluate.main(arguments) == (1 if "nowhere" in arguments else 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(message, error)

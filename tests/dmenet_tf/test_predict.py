"""dmenet predict: what it finds, writes, skips, refuses and continues."""

import copy
import csv
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.exit_codes import INTERRUPTED, SKIPPED
from dmenet_tf import predict
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.prediction import backends, folders
from dmenet_tf.prediction.local import Predictor
from dmenet_tf.prediction.map_files import read_map
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.weights.load import load_weights
from dmenet_tf.weights.published import save_published
from tests.support.authors_graph import recipe
from tests.support.rounding import tolerance

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network's weights, as a published file in the paper's unit."""
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    save_published(path, build_blur_estimation(0.03), encoding="paper")
    return path


@pytest.fixture(scope="module")
def loaded(weights):
    return Predictor(weights)


@pytest.fixture
def quick(monkeypatch, loaded):
    """The command with a network that is traced already."""

    monkeypatch.setattr(backends, "open_local", lambda weights, *_: loaded.backend)


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"read by the fixture `quick` alone")
    return path


def picture(height=24, width=36):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def save(path, image=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if image is None else image).save(path)
    return path


def run(*arguments):
    return predict.main([str(argument) for argument in arguments])


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- what is written -------------------------------------------------------------------------


def test_a_folder_with_all_forms(tmp_path, quick, loaded, weights_file, capsys):
    photos = {"a.jpg": picture(), "deep/a.png": picture(40, 20)}
    for name, image in photos.items():
        save(tmp_path / "in" / name, image)
    out = tmp_path / "in" / "maps"  # inside the input: never read again
    command = (tmp_path / "in", "-o", out, "--weights", weights_file)
    assert run(*command, "--write", "colour,png16,tiff", "--write", "npy,overlay,side") == 0
    expected = {f"{name}{suffix}" for name in photos for suffix in (*SUFFIXES.values(), ".json")}
    assert names(out) == expected | {"summary.json", "summary.csv"}
    assert "2 photos: 2 written; maps in" in capsys.readouterr().out
    sigma_px = loaded.sigma_px(photos["deep/a.png"])
    np.testing.assert_array_equal(np.load(out / "deep/a.png.sigma.npy"), sigma_px)
    for suffix, bound in (("tiff", 0), ("npy", 0)):
        assert np.abs(read_map(out / f"deep/a.png.sigma.{suffix}")[0] - sigma_px).max() <= bound
    assert np.abs(read_map(out / "deep/a.png.sigma16.png")[0] - sigma_px).max() < 7 / 65535
    assert read_map(out / "deep/a.png.colour.png")[1].model == loaded.trained.identity
    values = json.loads((out / "deep/a.png.json").read_text())
    assert (values["width"], values["height"], values["encoding"]) == (20, 40, "paper")
    assert values["median_sigma_px"] == pytest.approx(np.median(sigma_px))
    assert values["share_sharp"] == pytest.approx((sigma_px < 1).mean())
    assert values["model"] == loaded.trained.identity and "pixels of the photo" in values["units"]
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [(row["status"], row["width"]) for row in rows] == [("ok", "36"), ("ok", "20")]
    assert json.loads((out / "summary.json").read_text())[1]["photo"] == values["photo"]
    assert run(*command) == 0
    assert "2 photos: 0 written, 2 already there" in capsys.readouterr().out


def test_colours_run_over_the_maps_own_range_or_that_given(tmp_path, quick, weights_file, loaded):
    image = picture(32, 32)
    save(tmp_path / "a.png", image)
    command = (tmp_path / "a.png", "-o", tmp_path / "out", "--weights", weights_file)
    expected, found = loaded.sigma_px(image), []
    for more, span_px in (((), np.ptp(expected)), (("--colour-range", 14), 14)):
        assert run(*command, *more) == 0
        sigma_px = read_map(tmp_path / "out/a.png.colour.png")[0]
        assert np.abs(sigma_px - expected).max() <= max(span_px, 2) / 256
        found.append(sigma_px)
    assert not np.array_equal(*found)


def test_reduced_photos_state_their_scale(tmp_path, quick, weights_file):
    save(tmp_path / "a.png", picture(32, 64))
    out = tmp_path / "out"
    command = [tmp_path / "a.png", "-o", out, "--weights", weights_file]
    assert run(*command, "--max-side", 32, "--write", "png16,npy") == 0
    sigma_px, metadata = read_map(out / "a.png.sigma16.png")
    assert metadata.sigma_max_px == 14 and sigma_px.shape == (32, 64)
    assert np.abs(np.load(out / "a.png.sigma.npy") - sigma_px).max() <= 14 / 65535
    # 1 px of what the network sees is 2 px of the photo.
    assert json.loads((out / "a.png.json").read_text())["sharp_below_px"] == 2
    # Another option makes other maps, and what stands there is written anew.
    before = np.load(out / "a.png.sigma.npy")
    assert run(*command) == 0
    assert (out / "a.png.colour.png").exists()
    assert read_map(out / "a.png.sigma16.png")[1].sigma_max_px == 7
    assert not np.array_equal(np.load(out / "a.png.sigma.npy"), before)


def test_an_interrupted_folder_continues(tmp_path, quick, weights_file, monkeypatch, capsys):
    for name in ("1.png", "2.png", "3.png"):
        save(tmp_path / "in" / name)
    out = tmp_path / "out"
    command = (tmp_path / "in", "-o", out, "--weights", weights_file)
    write, calls = folders.Folder._write_photo, []

    def interrupted(self, photo, image):
        calls.append(photo.name.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(self, photo, image)

    monkeypatch.setattr(folders.Folder, "_write_photo", interrupted)
    assert run(*command) == INTERRUPTED
    assert "the same command continues" in capsys.readouterr().err
    assert names(out) == {"1.png.colour.png", "1.png.json", "summary.csv", "summary.json"}
    assert run(*command) == 0
    assert calls == ["1.png", "2.png", "2.png", "3.png"]
    # A photo that changed, a map that is gone, and all of them on demand.
    save(tmp_path / "in" / "1.png", picture(10, 10))
    (out / "3.png.colour.png").unlink()
    assert run(*command) == 0
    assert calls[4:] == ["1.png", "3.png"]
    assert run(*command, "--overwrite") == 0
    assert calls[6:] == ["1.png", "2.png", "3.png"]


def test_maps_beside_the_photos_are_not_taken_for_photos(tmp_path, quick, weights_file):
    save(tmp_path / "in" / "a.png")
    command = (tmp_path / "in", "-o", tmp_path / "in", "--weights", weights_file, "--overwrite")
    for _ in range(2):
        assert run(*command, "--write", "colour,side,tiff") == 0
        assert not [name for name in names(tmp_path / "in") if ".png.colour.png.colour" in name]


# --- what cannot be read ---------------------------------------------------------------------


def bomb():
    body = b"IHDR" + struct.pack(">IIBBBBB", 90_000, 90_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\0" * 40


def test_photos_of_any_kind_give_a_map_or_an_error(tmp_path, quick, weights_file, capsys):
    folder = tmp_path / "in"
    image = Image.fromarray(picture())
    good = {"wrong.jpg": "PNG", "palette.png": "P", "cmyk.jpg": "CMYK", "one.png": (1, 1),
            "long.png": (10, 2000), "grey.bmp": "L", "alpha.webp": "RGBA"}  # fmt: skip
    folder.mkdir()
    for name, kind in good.items():
        if isinstance(kind, tuple):
            save(folder / name, picture(*kind))
        elif kind == "PNG":
            image.save(folder / name, "PNG")
        else:
            image.convert(kind).save(folder / name)
    cv2.imwrite(str(folder / "deep.tif"), picture().astype(np.uint16) * 257)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG")
    bad = {"empty.jpg": b"", "half.jpg": jpeg.getvalue()[:700], "text.png": b"no photo", "bomb.png":
           bomb()}  # fmt: skip
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    out = tmp_path / "out"
    command = (folder, "-o", out, "--weights", weights_file, "--write", "npy")
    assert run(*command) == SKIPPED
    output = capsys.readouterr()
    assert f"12 photos: {len(good) + 1} written, {len(bad)} unreadable" in output.out
    for name in bad:
        assert f"skipped {folder / name}: " in output.err
    maps = {name for name in names(out) if name.endswith(".npy")}
    assert maps == {f"{name}.sigma.npy" for name in [*good, "deep.tif"]}
    assert np.load(out / "one.png.sigma.npy").shape == (1, 1)
    assert np.load(out / "long.png.sigma.npy").shape == (10, 2000)
    rows = json.loads((out / "summary.json").read_text())
    failed = {row["photo"]: row["error"] for row in rows if row["status"] == "unreadable"}
    assert failed.keys() == {str(folder / name) for name in bad}
    assert "90000 x 90000" in failed[str(folder / "bomb.png")]
    # The next time, again: what is unreadable is never counted as done.
    assert run(*command) == SKIPPED
    assert run(folder / "one.png", *command[1:], "--max-pixels", "1e-7") == 0  # stands already
    assert run(folder / "long.png", *command[1:], "--max-pixels", "0.01", "--overwrite") == SKIPPED


def test_the_size_is_stated_and_is_what_the_model_recommends(
    tmp_path, loaded, weights_file, capsys, monkeypatch
):
    advised = copy.copy(loaded.backend)
    advised.metadata = replace(advised.metadata, recommended_side=32)
    monkeypatch.setattr(backends, "open_local", lambda weights, *_: advised)
    save(tmp_path / "a.png", picture(32, 64))
    out = tmp_path / "out"
    command = [tmp_path / "a.png", "-o", out, "--weights", weights_file, "--write", "png16"]
    for more, line, side in (
        ([], "photos above 32 px are reduced to 32 px for the network (recommended", 32),
        (["--max-side", 48], "photos above 48 px are reduced to 48 px for the network (--max", 48),
        (["--max-side", 0], "photos are mapped at full size", None),
    ):
        assert run(*command, *more) == 0
        stated, summary = capsys.readouterr().out.splitlines()
        assert stated.startswith(line) and "1 written" in summary
        metadata = read_map(out / "a.png.sigma16.png")[1]
        assert (metadata.max_side, metadata.recommended_side) == (side, 32)
        assert json.loads((out / "a.png.json").read_text())["made_with"]["max_side"] == side
        # What stands was made at this size, by whomever it was chosen.
        assert run(*command, *(more or ["--max-side", 32])) == 0
        assert "1 already there" in capsys.readouterr().out


# --- the whole way ---------------------------------------------------------------------------


def test_a_photo_through_a_pipe_in_a_process_of_its_own(tmp_path, weights):
    image = picture()
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    done = subprocess.run(
        [sys.executable, "-m", "dmenet_tf.predict", "-", "-o", str(tmp_path), "--weights",
         str(weights), "--write", "npy"],
        input=data.getvalue(), capture_output=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert b"1 photo: 1 written" in done.stdout and not done.stderr
    expected = Predictor(weights).sigma_px(image)
    # A process of its own takes oneDNN's kernels, this one perhaps not.
    bound = 7 * tolerance(load_weights(weights).model, picture(96, 112), 0.03)
    found = np.load(tmp_path / "stdin.sigma.npy")
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def test_the_authors_graph_through_the_command(tmp_path, shared, capsys):
    """The reference's numbers, from a published file and a photo file to a map file."""
    folder = shared / "reference" / "authors_graph"
    shapes = json.loads((folder / "variables.json").read_text())
    np.savez(tmp_path / "DMENet_BDCS.npz", **{n: recipe(n, s) for n, s in shapes.items()})
    reference = np.load(folder / "outputs.npz")
    cv2.imwrite(str(tmp_path / "photo.tiff"), reference["image"][0, ..., ::-1])  # floats, exact
    assert reference["image"].dtype == np.float32
    command = (tmp_path / "photo.tiff", "-o", tmp_path, "--write", "tiff")
    assert run(*command, "--weights", tmp_path / "DMENet_BDCS.npz") == 0
    assert "AGPL" in capsys.readouterr().err
    sigma_px, metadata = read_map(tmp_path / "photo.tiff.sigma.tiff")
    assert metadata.encoding == "released"
    expected = np.maximum(0, (15 * reference["defocus"][0, ..., 0] - 1) / 2)
    assert expected.min() > 0  # so nothing of the label is hidden by the clipping
    label = (2 * sigma_px + 1) / 15
    reference_label = reference["defocus"][0, ..., 0]
    assert np.abs(label - reference_label).max() / reference_label.max() < 1e-4

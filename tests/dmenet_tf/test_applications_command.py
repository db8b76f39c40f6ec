"""The command of the applications: photos and maps in, results out, whatever the photos are."""

import io
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from data_gen.io.images import write_png
from dmenet_tf.applications import command, planes
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.inputs import find_photos
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import KIND, is_output, write_summary
from tests.support.fake_network import LeftIsSharp


@pytest.fixture
def photo(tmp_path):
    """(path of a photo of 40 x 60 px, its pixels, path of its map: sharp left, 2 px right)."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    write_png(tmp_path / "photo.png", pixels)
    sigma_px = np.where(np.arange(60) < 30, 0.0, 2.0) * np.ones((40, 1))
    np.save(tmp_path / "photo.png.sigma.npy", sigma_px.astype(np.float32))
    return tmp_path / "photo.png", pixels, tmp_path / "photo.png.sigma.npy"


def run(name, photo, out, *options):
    return command.main([name, str(photo), "-o", str(out), *map(str, options)])


@pytest.mark.parametrize(
    "name, results",
    [
        ("magnify", ["photo.png.magnified.png"]),
        ("refocus", ["photo.png.refocused.png"]),
        ("depth", ["photo.png.depth16.png"]),
        ("segment", ["photo.png.cutout.png", "photo.png.mask.png"]),
        ("deblur", ["photo.png.deblurred.png"]),
    ],
)
def test_every_application_writes_its_results_and_leaves_what_is_sharp(
    photo, tmp_path, name, results
):
    path, pixels, map_path = photo
    assert run(name, path, tmp_path / "out", "--map", map_path) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == results
    result = np.asarray(Image.open(tmp_path / "out" / results[-1]))
    assert result.shape[:2] == (40, 60)
    if result.ndim == 3:
        np.testing.assert_array_equal(result[:, :25], pixels[:, :25])
        assert name == "refocus" or (result[:, 35:] != pixels[:, 35:]).any()


def test_depth_is_written_in_16_bits_and_in_metres(photo, tmp_path):
    path, _, map_path = photo
    camera = ("--focal-length", 50, "--f-number", 2, "--focus-distance", 2, "--sensor-width", 36)
    assert run("depth", path, tmp_path, "--map", map_path, *camera) == 0
    stored = cv2.imread(str(tmp_path / "photo.png.depth16.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert (stored[:, :30] == 0).all() and (stored[:, 30:] == 65535).all()
    about = json.loads(Image.open(tmp_path / "photo.png.depth16.png").text["DMENet-depth"])
    assert about["scale"] == 1 / 65535 and about["sigma_px_of_the_most_blurred"] == 2
    assert about["unit"].startswith("relative depth") and about["nearest"] == "in focus"
    metres = np.load(tmp_path / "photo.png.depth_m.npy")
    # alpha = (f1/S1) * D: 51.28 mm / 2000 mm * 25 mm = 0.641 mm, of 60 px on 36 mm: 1.07 px;
    # a blur of 2 px is a circle of 8 px: beyond infinity.
    assert (metres[:, :30] == 2).all() and np.isinf(metres[:, 30:]).all()


def test_half_a_camera_is_refused_before_any_work(photo, tmp_path, capsys):
    path, _, map_path = photo
    assert run("depth", path, tmp_path / "out", "--map", map_path, "--f-number", 2) == 2
    assert "error: depth in metres needs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_point_in_focus_is_column_and_row(photo, tmp_path):
    path, pixels, map_path = photo
    options = ("--map", map_path, "--at", "50,5", "--sharpen", 0)
    assert run("refocus", path, tmp_path, *options) == 0
    result = np.asarray(Image.open(tmp_path / "photo.png.refocused.png"))
    np.testing.assert_allclose(result[:, 45:].astype(int), pixels[:, 45:], atol=1)  # right: kept
    assert result[:, :20].std() < 0.5 * pixels[:, :20].std()  # left: blurred


def test_a_turned_photo_is_upright_and_keeps_its_colour_profile(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    np.save(tmp_path / "a.npy", np.zeros((30, 20), np.float32))
    assert run("magnify", tmp_path / "a.png", tmp_path, "--map", tmp_path / "a.npy") == 0
    written = Image.open(tmp_path / "a.png.magnified.png")
    np.testing.assert_array_equal(np.asarray(written), np.rot90(pixels, -1))
    assert written.info["icc_profile"] == profile
    assert written.getexif().get(0x0112, 1) == 1


def test_16_bits_stay_16_bits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    write_png(tmp_path / "deep.png", pixels)
    np.save(tmp_path / "deep.npy", np.zeros((20, 30), np.float32))
    assert run("magnify", tmp_path / "deep.png", tmp_path, "--map", tmp_path / "deep.npy") == 0
    written = cv2.imread(str(tmp_path / "deep.png.magnified.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written[..., ::-1], pixels)


def test_what_cannot_be_done_is_named_and_the_rest_is_done(photo, tmp_path, capsys):
    folder = tmp_path / "photos"
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        write_png(folder / name, photo[1])
        np.save(maps / f"{name}.sigma.npy", np.zeros((40, 60), np.float32))
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:500])
    (maps / "c.png.sigma.npy").unlink()
    np.save(maps / "d.png.sigma.npy", np.zeros((40, 59), np.float32))
    assert run("magnify", folder, tmp_path / "out", "--map", maps) == 3
    errors = capsys.readouterr().err
    assert all(name in errors for name in ("b.png", "c.png.sigma.npy", "d.png.sigma.npy"))
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.png.magnified.png"]


@pytest.mark.parametrize(
    "options, message",
    [
        (("--map", "nowhere.npy"), "nowhere.npy"),
        (("--weights", "nowhere"), "nowhere"),
        (("--map", "{map}", "--factor", "0.5"), "received 0.5"),
    ],
)
def test_errors_are_one_line(photo, tmp_path, capsys, options, message):
    options = [option.format(map=photo[2]) for option in options]
    assert run("magnify", photo[0], tmp_path / "out", *options) == 1
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("error: ") and message in errors and "\n" not in errors


@pytest.mark.parametrize(
    "options, message",
    [
        (("--map", "{map}", "--weigths", "x"), "unknown option --weigths; did you mean --weights?"),
        ((), "--weights or --map must be given"),
        (("--map", "{map}", "--weights", "x"), "not allowed with"),
        (("--map", "{map}", "--max-side", "320"), "--max-side goes with --weights"),
        (("--weights", "x", "--max-side", "3"), "max_side must be at least 16"),
        (("--map", "{map}", "--max-pixels", "0"), "--max-pixels must be above 0"),
        (("--map", "{map}", "--factor", "two"), "argument --factor: invalid float value: 'two'"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    photo, tmp_path, capsys, options, message, nothing_shipped
):
    options = [option.format(map=photo[2]) for option in options]
    assert run("magnify", photo[0], tmp_path / "out", *options) == 2
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("error: ") and message in errors and "\n" not in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.process
def test_help_and_typos_wait_for_no_tensorflow():
    code = """
import sys
from dmenet_tf.applications import command
for line in sys.argv[1:]:
    try:
        print("code", command.main(line.split()))
    except SystemExit as stop:
        print("code", stop.code)
print("tensorflow" in sys.modules)
"""
    lines = ["--help", "magnify --help", "magnify a.jpg --weigths a", "blur a.jpg"]
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True)
    assert done.stdout.endswith("False\n"), done.stderr
    assert re.findall(r"^code (.*)", done.stdout, re.MULTILINE) == ["0", "0", "2", "2"]
    assert done.stdout.count("usage: dmenet apply") == 2


def test_results_and_maps_in_the_photos_own_folder_are_not_taken_for_photos(photo, tmp_path):
    folder = tmp_path / "photos"
    write_png(folder / "a.jpg.png", photo[1])  # a photo, whatever its name looks like
    write_png(folder / "b.png", photo[1])
    for name in ("a.jpg.png", "b.png"):
        sigma_px = np.full((40, 60), 2.0, np.float32)
        write_map(folder / f"{name}.colour.png", "colour", sigma_px, Metadata("0", "paper"))
        write_summary(folder / f"{name}.json", {"kind": KIND, "photo": name})
        np.save(folder / f"{name}.sigma.npy", sigma_px)
    for _ in range(2):
        for name in ("magnify", "refocus", "depth", "segment", "deblur"):
            assert run(name, folder, folder, "--map", folder) == 0
        assert run("magnify", folder, folder, "--map", folder, "--format", "jpg") == 0
    found = {path.name for path in folder.iterdir() if ".sigma" not in path.name}
    results = ["magnified.png", "magnified.jpg", "refocused.png", "depth16.png", "mask.png"]
    results += ["cutout.png", "deblurred.png", "colour.png", "json"]
    photos = ("a.jpg.png", "b.png")
    assert found == {*photos, *(f"{photo}.{end}" for photo in photos for end in results)}
    # `predict` leaves them out as well.
    assert [p.name.name for p in find_photos([folder], folder, is_output).photos] == list(photos)


def test_one_map_for_two_photos_is_refused(photo, tmp_path, capsys):
    write_png(tmp_path / "other.png", photo[1])
    arguments = ["magnify", str(photo[0]), str(tmp_path / "other.png")]
    assert command.main([*arguments, "-o", str(tmp_path), "--map", str(photo[2])]) == 1
    assert "need a folder of maps" in capsys.readouterr().err


@pytest.mark.parametrize("options, seen", [((), (48, 64)), (("--max-side", 32), (32, 32))])
def test_predicts_with_weights(photo, tmp_path, monkeypatch, capsys, options, seen):
    path, pixels, _ = photo
    network, opened = LeftIsSharp(), []
    monkeypatch.setattr(
        backends, "open_local", lambda weights, *_: opened.append(weights) or network
    )
    arguments = ("--weights", path.parent, "--format", "jpg", *options)
    assert run("magnify", path, tmp_path / "out", *arguments) == 0
    assert opened == [str(path.parent)] and network.seen == [(*seen, 3)]
    assert "note: for research" in capsys.readouterr().err
    data = (tmp_path / "out" / "photo.png.magnified.jpg").read_bytes()
    result = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert result.shape == (40, 60, 3)
    # Left as it was, but for JPEG; right blurred.
    assert np.abs(result[:, :15] - pixels[:, :15]).mean() < 5
    assert result[:, 45:].std() < 0.5 * pixels[:, 45:].std()


def test_a_subjects_own_blur_is_told_and_taken_off():
    sigma_px = np.full((20, 30), 3.0, np.float32)
    sigma_px[:10] = 0.8
    assert planes.sharp_level(sigma_px) == pytest.approx(0.8)
    floored = planes.without_floor(sigma_px, 0.8)
    assert (floored[:10] == 0).all()
    assert floored[15, 0] == pytest.approx(np.sqrt(3.0**2 - 0.8**2), rel=1e-5)
    assert planes.sharp_level(np.full((5, 5), 4.0)) == planes.SHARP_AUTO_MAX_PX

"""`predict` and `apply` on folders as people have them; the network's answer is known."""

import io

import numpy as np
import pytest
from PIL import Image

from data_gen.io.images import write_png
from dmenet_tf import predict
from dmenet_tf.applications import command
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from tests.support.fake_network import LeftIsSharp
from tests.support.picture_files import chunk, pages, png_with

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.fixture
def network(tmp_path, monkeypatch):
    network = LeftIsSharp()
    monkeypatch.setattr(backends, "open_local", lambda weights, *_: network)
    (tmp_path / "weights.npz").touch()
    monkeypatch.chdir(tmp_path)
    return network


def run_predict(*arguments):
    return predict.main([*map(str, arguments), "--weights", "weights.npz", "--write", "npy"])


def run_apply(name, *arguments):
    return command.main([name, *map(str, arguments), "--weights", "weights.npz"])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_left_out_is_the_last_line_and_the_exit_code(network, tmp_path, capsys):
    folder = tmp_path / "photos"
    write_png(folder / "a.png", PIXELS)
    Image.fromarray(PIXELS).save(folder / "b.gif")
    Image.fromarray(PIXELS).save(folder / "c.jfif", "JPEG")
    assert run_predict(folder, "-o", tmp_path / "maps") == 0
    for name in ("d.mov", "e.jxl", "notes.txt"):
        (folder / name).touch()
    for run in (
        lambda: run_predict(folder, "-o", tmp_path / "maps"),
        lambda: run_predict("photos/*", "-o", tmp_path / "maps"),
        lambda: run_apply("magnify", folder, "-o", tmp_path / "results"),
    ):
        capsys.readouterr()
        assert run() == 3
        assert capsys.readouterr().err.splitlines()[-1] == "left out: 1 .jxl, 1 .mov"
    assert len(names(tmp_path / "results")) == 3
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mov").touch()
    assert run_predict(tmp_path / "videos", "-o", tmp_path / "maps") == 1
    assert "must hold photos" in (error := capsys.readouterr().err) and "1 .mov" in error


def test_notes_name_the_photo_and_it_is_done(network, tmp_path, capsys):
    (tmp_path / "scan.tif").write_bytes(pages(PIXELS[::8, ::8], PIXELS))
    (tmp_path / "odd.png").write_bytes(png_with(PIXELS, chunk(b"tIME", bytes(7), False)))
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(file.getvalue()[:-2])
    assert run_predict("scan.tif", "odd.png", "cut.jpg", "-o", "maps") == 0
    errors = capsys.readouterr().err
    for line in ("scan.tif: of 2 pages, page 2", "odd.png: read without", "cut.jpg: the end of"):
        assert f"note: {line}" in errors
    assert network.seen == [(48, 64, 3)] * 3  # of the whole size, filled up to multiples of 16
    # The colour profile of a damaged file is asked for as well.
    assert run_apply("magnify", "odd.png", "-o", "results") == 0


# --- results among the photos ------------------------------------------------------------------


def test_maps_and_results_among_the_photos_are_left_alone(network, tmp_path):
    """A folder, a pattern, and the files that a shell makes of one; the maps have no summary."""
    folder = tmp_path / "photos"
    write_png(folder / "a.png", PIXELS)
    for form in ("png16", "colour", "overlay"):
        suffix = {"png16": "sigma16", "colour": "colour", "overlay": "overlay"}[form]
        path = folder / f"a.png.{suffix}.png"
        write_map(path, form, np.ones((40, 60), np.float32), Metadata("0", "paper"), PIXELS)
    for name in ("magnify", "segment", "depth"):
        assert run_apply(name, folder, "-o", folder) == 0
    before = names(folder)
    assert len(before) == 8
    for inputs in ([folder], ["photos/*"], sorted(folder.iterdir())):
        network.seen.clear()
        assert run_apply("magnify", *inputs, "-o", folder) == 0
        assert len(network.seen) == 1 and names(folder) == before, inputs
    for _ in range(2):  # the second time with summaries and tables
        assert run_predict(*sorted(folder.iterdir()), "-o", folder) == 0
        assert len(network.seen) == 2


def test_a_result_is_a_photo_where_it_is_asked_for_by_name(network, tmp_path, capsys):
    write_png(tmp_path / "in" / "a.png.deblurred.png", PIXELS)
    path = tmp_path / "in" / "a.png.deblurred.png"
    assert run_apply("magnify", path, "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["a.png.deblurred.png.magnified.png"]
    assert run_apply("magnify", path, "-o", tmp_path / "in") == 1
    assert "received 1 maps or results of photos" in capsys.readouterr().err


# --- long names --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [230, 231, 240, 255])
def test_names_of_any_length_have_maps_and_results(network, tmp_path, length):
    folder, name = tmp_path / "in", "x" * (length - 4) + ".png"
    write_png(folder / name, PIXELS)
    write_png(folder / "b.png", PIXELS)
    assert run_predict(folder, "-o", "maps") == 0
    assert run_predict(folder, "-o", "maps") == 0
    assert len(network.seen) == 2  # and they are known again
    maps = [file for file in names(tmp_path / "maps") if file.endswith(".sigma.npy")]
    assert len(maps) == 2
    for application in ("magnify", "depth", "segment"):
        assert command.main([application, str(folder), "-o", "out", "--map", "maps"]) == 0
    assert len(names(tmp_path / "out")) == 2 * 4


def test_a_path_that_is_too_long_skips_one_photo(network, tmp_path, monkeypatch, capsys):
    write_png(tmp_path / "in" / "a.png", PIXELS)
    write_png(tmp_path / "in" / "b.png", PIXELS)
    long = "/".join(["y" * 250] * 17)  # beyond the 4,096 bytes of a path

    def named(out, name, suffix):
        return out / (long if name.name == "a.png" else "b") / f"{name.name}{suffix}"

    monkeypatch.setattr("dmenet_tf.prediction.folders.output_path", named)
    monkeypatch.setattr("dmenet_tf.applications.command.output_path", named)
    assert run_predict("in", "-o", "maps") == 3
    assert run_apply("magnify", "in", "-o", "out") == 3
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "in/a.png: its outputs' names" in line]) == 2
    assert (tmp_path / "maps/b/b.png.sigma.npy").is_file()


# --- metric depth ------------------------------------------------------------------------------


LENS = ("--focal-length", 50, "--f-number", 2, "--focus-distance", 2, "--sensor-width", 36)


def test_infinite_distances_are_told_with_share_and_limit(network, tmp_path, capsys):
    write_png(tmp_path / "a.png", PIXELS)
    sigma_px = np.where(np.arange(60) < 9, 0.0, 2.0) * np.ones((40, 1))
    np.save(tmp_path / "a.npy", sigma_px.astype(np.float32))
    arguments = ["depth", "a.png", "-o", "out", "--map", "a.npy", *map(str, LENS)]
    assert command.main(arguments) == 0
    note = capsys.readouterr().err
    # alpha = 1.07 px (51.28 / 2000 * 25 mm of 60 px on 36 mm): sigma = 0.267 px at infinity.
    assert "note: a.png: 85% of the distances are infinite" in note and "sigma = 0.267 px" in note
    assert command.main([*arguments, "--near"]) == 0
    assert "infinite" not in capsys.readouterr().err


# --- progress ----------------------------------------------------------------------------------


def test_a_log_follows_the_tiles_of_a_large_photo(network, tmp_path, capsys):
    write_png(tmp_path / "a.png", PIXELS)  # 48 x 64 px when it is padded: 12 tiles of 16 px
    network.tile_side = lambda height, width, wanted: 16
    for run in (
        lambda: run_predict("a.png", "-o", "maps"),
        lambda: run_apply("magnify", "a.png", "-o", "results"),
    ):
        assert run() == 0
        error = capsys.readouterr().err
        told = [line for line in error.splitlines() if "tiles" in line]
        assert "\r" not in error and len(told) == 10  # a line for every tenth
        assert told[0].startswith("a.png: 2 of 12 tiles, 17%, ")
        assert told[-1].startswith("a.png: 12 of 12 tiles, 100%, ")
    network.tile_side = lambda height, width, wanted: 32  # 4 tiles
    assert run_predict("a.png", "-o", "maps", "--overwrite") == 0
    assert "tiles" not in capsys.readouterr().err


@pytest.mark.parametrize("count, lines", [(9, 0), (20, 10)])
def test_a_log_follows_many_photos(network, tmp_path, capsys, count, lines):
    for index in range(count):
        write_png(tmp_path / "photos" / f"{index}.png", PIXELS)
    for run in (
        lambda: run_predict("photos", "-o", "maps"),
        lambda: run_apply("magnify", "photos", "-o", "results"),
    ):
        assert run() == 0
        error = capsys.readouterr().err
        assert error.count(f" of {count} photos, ") == lines and "\r" not in error

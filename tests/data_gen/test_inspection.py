"""python -m data_gen inspect: what a folder holds, and every problem of it."""

import json

import numpy as np
import pytest

from data_gen.curation import entry_points, inspection
from data_gen.dataset import encoding_detection, folders, manifest, records, shards
from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png

IMAGE = np.full((4, 6, 3), 90, np.uint8)


def run(*arguments):
    return entry_points.inspect([str(argument) for argument in arguments])


def write_pair(root, name, stored, image=IMAGE):
    write_png(root / f"image/{name}.png", image)
    write_png(root / f"blur_map/{name}.png", stored)


def a_map(low, high, dtype=np.uint16):
    return np.stack([np.linspace(low, high, 24).reshape(4, 6).astype(dtype)] * 3, axis=-1)


def write_records(folder, count=3, encoding="paper", indices=None):
    examples = [
        {
            "image": IMAGE,
            "defocus": np.full((4, 6), index / 10, np.float32),
            "name": f"scene_{index}",
            "seed": 0,
            "index": index,
            "focus_distance": 2.0,
            "alpha_px": 1.0,
        }
        for index in indices or range(count)
    ]
    records.write_shard(folder / shards.shard_name(0, 1), examples, encoding)
    manifest.write_manifest(folder, encoding, count)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([(0, 70)], "generator"),
        ([(10, 40), (3, 40)], "generator"),
        ([(0, 30), (20, 71)], "released"),
        ([(10, 150)], "released"),
        # Three maps, most of which begin at exactly 10: sharp in 'released'.
        ([(10, 50), (10, 70), (12, 30)], "released"),
        ([(10, 50), (10, 70)], None),  # two may be an accident
        ([(10, 50), (12, 70), (12, 30), (11, 11)], None),
        ([(11, 50)] * 9, None),
        ([(0, 70), (0, 151)], None),
    ],
)
def test_encoding_told_by_bounds(bounds, expected):
    encoding, reason = encoding_detection.detect(bounds)
    assert encoding == expected
    assert reason


def test_released_folders(tmp_path, capsys):
    # c = 15: sigma (15 - 1)/2 = 7 px, COC 28 px; c = 1 (stored 10): sharp.
    write_pair(tmp_path, "a", a_map(10, 150))
    write_pair(tmp_path, "b", a_map(10, 60)[..., 0].astype(np.uint8))
    assert run(tmp_path) == 0
    text = capsys.readouterr().out
    for part in (
        "folders image/ and blur_map/",
        "pairs     2",
        "sizes     6 x 4 (2)",
        "16 bits, three equal channels (1); 8 bits, one channel (1)",
        "stored    10 .. 150",
        "encoding  released: the largest value, 150, is above the 70",
        "sigma_px  0.000 .. 7.000",
        "coc_px    0.000 .. 28.000",
        "note: 1 maps have 8 bits: enough for 'released'",
        "nothing wrong found",
    ):
        assert part in text
    assert folders.open_folder(tmp_path).encoding == "released"


def test_every_problem_of_folders_is_listed(tmp_path, capsys):
    write_pair(tmp_path, "good", a_map(0, 70))
    write_pair(tmp_path, "above", a_map(0, 71))
    write_pair(tmp_path, "size", a_map(0, 50)[:3])
    colour = a_map(0, 50)
    colour[0, 0, 0] = 9
    write_pair(tmp_path, "colour", colour)
    write_png(tmp_path / "image/alone.png", IMAGE)
    write_png(tmp_path / "blur_map/single.png", a_map(0, 20))
    write_pair(tmp_path, "cut", a_map(0, 20))
    cut = tmp_path / "image/cut.png"
    cut.write_bytes(cut.read_bytes()[:50])
    write_png(tmp_path / "image/more/deep.png", IMAGE)
    write_png(tmp_path / "image/twin.png", IMAGE)
    (tmp_path / "image/twin.jpg").write_bytes((tmp_path / "image/twin.png").read_bytes())
    write_png(tmp_path / "blur_map/twin.png", a_map(0, 20))
    (tmp_path / "image/.good.png.1234abcd.tmp").write_bytes(b"half")
    (tmp_path / "manifest.jsonl").write_text('{"index": 0}\n{"index": 0}\n{"ind')
    (tmp_path / "parameters.json").write_text('{"layout": "folders", "encoding": "generator"}')
    assert run(tmp_path) == 1
    text = capsys.readouterr().out
    problems = [line for line in text.splitlines() if line.startswith("PROBLEM")]
    for part in (
        "above.png: a map in the 'generator' encoding holds values up to 70; received 71",
        "size.png: image and map must have the same size; received [4, 6] and [3, 6]",
        "colour.png: a map's channels must be equal",
        f"alone.png: must have a partner {tmp_path}/blur_map/alone.png",
        f"single.png: must have a partner {tmp_path}/image/single.png",
        "cut.png: must be a complete, valid image file",
        "deep.png: must lie directly in",
        "each name must belong to one file",
        ".good.png.1234abcd.tmp: a temporary file",
        "line 2: index 0 is already used by an earlier line",
        "line 3: must be a JSON object",
        "manifest.jsonl: must have 6 lines; received 1 lines",
        "complete dataset must have a dataset.json; it is missing",
    ):
        assert sum(part in problem for problem in problems) == 1, part
    assert len(problems) == 13
    assert text.endswith("13 problems\n")


def test_eight_bits_are_too_few_for_paper_and_json_tells_the_same(tmp_path, capsys):
    write_pair(tmp_path, "a", a_map(0, 200, np.uint8))
    manifest.write_manifest(tmp_path, "paper", 2)
    assert run(tmp_path, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["facts"]["encoding"] == "paper: as stated by the dataset"
    assert [problem.split(": ", 1)[1] for problem in report["problems"]] == [
        "must hold the 2 examples that dataset.json states; received 1",
        "a map in the 'paper' encoding must have 16 bits; received 8",
    ]


def test_ambiguous_values_need_a_name(tmp_path, capsys):
    write_pair(tmp_path, "a", a_map(10, 70))
    assert run(tmp_path) == 1
    text = capsys.readouterr().out
    assert "unknown: values of 10..70 fit 'released' and 'generator'" in text
    assert "must be given with --encoding" in text
    assert run(tmp_path, "--encoding", "released") == 0
    assert "sigma_px  0.000 .. 3.000" in capsys.readouterr().out  # (7 - 1)/2
    manifest.write_manifest(tmp_path, "generator", 1)
    assert run(tmp_path, "--encoding", "released") == 1
    assert "states, 'generator'; received 'released'" in capsys.readouterr().out


def test_records(tmp_path, capsys):
    write_records(tmp_path)
    assert run(tmp_path) == 0
    text = capsys.readouterr().out
    assert "records   3" in text and "coc_px    0.000 .. 5.600" in text  # 0.2 * 28
    # A flipped bit in a PNG, a repeated index, a shard of another dataset, no dataset.json.
    shard = tmp_path / shards.shard_name(0, 1)
    write_records(tmp_path, indices=[0, 1, 1])
    data = bytearray(shard.read_bytes())
    place = data.rindex(b"IDAT") + 8
    data[place] ^= 255
    shard.write_bytes(bytes(data))
    (tmp_path / manifest.MANIFEST).unlink()
    (tmp_path / shards.shard_name(1, 3)).write_bytes(b"12345")
    assert run(tmp_path) == 1
    problems = capsys.readouterr().out
    for part in (
        "all shards of one dataset",
        "a shard must end with a complete record",
        "must be a complete, valid image file",
        "must occur in exactly one record; missing or repeated: 1, 2",
        "complete dataset must have a dataset.json",
    ):
        assert problems.count(part) == 1, part


def test_a_file_that_the_manifest_does_not_state(tmp_path, capsys):
    write_pair(tmp_path, "000000", a_map(0, 70))
    line = {"index": 0, "image_sha256": "0" * 64, "map_sha256": None}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert run(tmp_path) == 1
    assert "000000.png: must be the file described by manifest.jsonl" in capsys.readouterr().out


def test_scenes(tmp_path, capsys):
    depth = np.full((4, 6), 1000, np.uint16)
    depth[0] = 3000
    depth[1, :3] = 0  # an eighth of 24 is unknown
    for name, values in (("a", depth), ("flat", np.full((4, 6), 7, np.uint16))):
        write_png(tmp_path / name / "rgb.png", IMAGE)
        write_png(tmp_path / name / "depth.png", values)
    assert run(tmp_path, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layout"] == "RGB-D scenes, layout 'folder'"
    first, second = report["scenes"]
    assert (first["name"], first["near"], first["far"]) == ("a", 1000, 3000)
    assert (first["unknown"], first["sky"]) == (0.125, 0)
    assert report["notes"] == ["flat: flat, so no lens can blur it"]
    # Two scenes without depth are two problems; then two that are broken.
    for name in ("b", "c"):
        write_png(tmp_path / name / "rgb.png", IMAGE)
    assert run(tmp_path) == 1
    assert capsys.readouterr().out.count("an image must have its depth beside it") == 2
    write_png(tmp_path / "b/depth.png", np.zeros((4, 6), np.uint16))
    write_png(tmp_path / "c/depth.png", np.ones((4, 9), np.uint16))
    assert run(tmp_path) == 1
    text = capsys.readouterr().out
    assert "at least 10% of a depth map must be known; received 0.0%" in text
    assert "image and depth must have the same size" in text
    assert "2 problems" in text and "scene" in text


def test_sky_and_real_layouts(shared, capsys):
    assert run(shared / "data/native") == 0
    text = capsys.readouterr().out
    assert "layout 'syndof-input'" in text and "depth files    distances (3)" in text
    assert "3.0% of pixels, 8.4% at most" in text


def test_nothing_there(tmp_path, capsys):
    assert run(tmp_path / "nowhere") == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path}/nowhere: must be a folder; it does not exist\n"
    )
    write_pair(tmp_path / "train", "a", a_map(0, 70))
    assert run(tmp_path) == 1
    text = capsys.readouterr().out
    assert "a source must have the layout" in text
    assert f"note: {tmp_path}/train holds a dataset" in text
    (tmp_path / "blur_map").mkdir()
    assert run(tmp_path) == 1
    assert "blur_map: the folder must hold images; received none" in capsys.readouterr().out
    with pytest.raises(DataFileError):
        inspection.inspect(tmp_path / "nowhere")

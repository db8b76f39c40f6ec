"""python -m data_gen card: numbers of a dataset worked out by hand, and one whole HTML file."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from data_gen import optics
from data_gen.curation import card, card_statistics, entry_points
from data_gen.dataset import folders, manifest, records, shards

# COC of 0, 0.5, 1 and 28 px: three of four pixels are sharp, as sigma is below 1 px below 4 px.
COC_PX = np.array([[0.0, 0.5], [1.0, 28.0]], np.float32)
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def run(*arguments):
    return entry_points.card([str(argument) for argument in arguments])


def write_records(folder, cocs, names, lines=None):
    examples = [
        {
            "image": IMAGE,
            "defocus": coc_px / np.float32(28),
            "name": name,
            "seed": 0,
            "index": index,
            "focus_distance": 3.0,
            "alpha_px": 2.0 + index,
        }
        for index, (coc_px, name) in enumerate(zip(cocs, names, strict=True))
    ]
    records.write_shard(folder / shards.shard_name(0, 1), examples)
    manifest.write_manifest(folder, "paper", len(examples), source="a <b>source</b>")
    if lines:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / manifest.MANIFEST_LINES).write_text(text)


def collect(folder, encoding="auto"):
    dataset = card.open_dataset(folder, encoding)
    return card_statistics.collect(dataset, manifest.read_lines(folder)[0])


def test_numbers_by_hand(tmp_path):
    lines = [
        # Index 1 first: lines are matched by index. S1 = 3 in 2..6 is a quarter of the way.
        {"index": 1, "scene": "b", "focus_distance": 3, "near": 2, "far": 6, "layers": 120},
        {"index": 0, "scene": "a", "focus_distance": 3, "near": 3, "far": 3, "layers": 1},
    ]
    cocs = [COC_PX, np.full((2, 2), 13.9, np.float32), COC_PX]
    write_records(tmp_path, cocs, ["a", "b", "a"], lines)
    found = collect(tmp_path)
    assert (found.pixels, found.sharp_pixels, len(found.rows)) == (12, 6, 3)
    assert found.sharp_share == pytest.approx(1 / 2)
    # Bins of 0.5 px: 0 in the first, 0.5 in the second, 1 in the third, 13.9 in the 28th (13.5 up),
    # 28 in the last. 16 bits store 1 px as 1.0002 and 0.5 px as 0.4999.
    assert found.coc_histogram.sum() == 12
    assert found.coc_histogram[:4].sum() == 6
    assert found.coc_histogram[27] == 4 and found.coc_histogram[-1] == 2
    first, second, third = found.rows
    assert first.mean_coc_px == pytest.approx(29.5 / 4, abs=1e-3)
    assert first.max_coc_px == pytest.approx(28)
    assert (first.focus_position, first.layers) == (None, 1)  # a flat scene has no position
    assert (second.focus_position, second.layers, second.sharp_share) == (0.25, 120, 0)
    assert (third.focus_position, third.layers, third.alpha_px) == (None, None, 4.0)
    assert found.scenes() == [("a", 2), ("b", 1)]
    assert found.values("layers").tolist() == [1, 120]


def test_released_folders_without_any_manifest(tmp_path):
    # c = 1, 2, 15, 3 stored as 10, 20, 150, 30: sigma 0, 0.5, 7, 1; COC 0, 2, 28, 4.
    for name, sigma_px in (("x", 0.0), ("y", 0.5), ("z", 7.0), ("w", 1.0)):
        folders.write_folder_example(tmp_path, name, IMAGE, np.full((2, 2), sigma_px), "released")
    found = collect(tmp_path)
    assert [row.max_coc_px for row in found.rows] == pytest.approx([4, 0, 2, 28])  # w to z
    assert [row.sharp_share for row in found.rows] == [0, 1, 1, 0]
    assert found.scenes() == []
    assert run(tmp_path, "-o", tmp_path / "card.html") == 0
    page = (tmp_path / "card.html").read_text()
    assert "There is no manifest.jsonl" in page
    assert "Scene that each image was made from." in page
    assert "Number of layers of 4 of 4 images." in page
    assert "detected from the maps" in page
    assert "focus: 0 nearest" not in page and "Images of each scene" not in page


def test_sharp_is_what_summaries_of_maps_call_sharp(tmp_path):
    sigma_px = np.linspace(0, 7, 24, dtype=np.float32).reshape(4, 6)
    image = np.zeros((4, 6, 3), np.uint8)
    folders.write_folder_example(tmp_path, "x", image, sigma_px, "paper")
    stored = card.open_dataset(tmp_path, "paper")
    (row,) = card_statistics.collect(stored, {}).rows
    assert row.sharp_share == np.mean(sigma_px < optics.SHARP_BELOW_PX)


def test_options_are_printed_as_they_are_typed_beside_the_data(tmp_path, capsys):
    write_records(tmp_path, [COC_PX], ["a"])
    realism = {
        "aperture": "disc",
        "linear_light": True,
        "fill_background": False,
        "shot_noise": 0.0,
    }
    about = {"source": "scenes", "scenes": 3, "count": 1, "seed": 0, "crop": 352, "far": None}
    more = {"shard_size": 64, "realism": realism, "bgr_scenes": ["nyu_*", "x"]}
    (tmp_path / manifest.PARAMETERS).write_text(json.dumps(about | more))
    before = entry_points.inspect([str(tmp_path)])
    assert run(tmp_path) == 0
    assert str(tmp_path / "card.html") in capsys.readouterr().out
    page = html.unescape((tmp_path / "card.html").read_text())
    typed = (
        "--seed 0 --crop 352 --shard-size 64 --aperture disc --linear-light --shot-noise 0.0 "
        "--bgr-scenes 'nyu_*' x"
    )
    assert f"--count 1 {typed}" in page and "{'" not in page
    assert entry_points.inspect([str(tmp_path)]) == before  # the card is no part of the data


class Checker(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_one_file_that_loads_nothing_and_escapes_names(tmp_path, capsys):
    lines = [
        {"index": i, "scene": n, "focus_distance": 3, "near": 2, "far": 6, "layers": 9}
        for i, n in enumerate(["<i>one</i>", "two"])
    ]
    write_records(tmp_path, [COC_PX, COC_PX], ["p", "q"], lines)
    out = tmp_path / "cards/card.html"
    assert run(tmp_path, "-o", out, "--pictures", 1) == 0
    assert "the card of 2 images" in capsys.readouterr().out
    page = out.read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "<i>one" not in page and "&lt;i&gt;one&lt;/i&gt;" in page
    assert "a &lt;b&gt;source" in page
    assert "<h2>Unknown</h2>" not in page
    assert page.count("<figure>") == 5 + 1  # plots and the picture
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sum(s.startswith("data:image/jpeg;base64,") for s in sources) == 2
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "<script" not in page and "@import" not in page
    assert "#010203" not in page and "currentColor" in page  # plots take the page's ink
    assert run(tmp_path, "-o", out, "--pictures", 1) == 0
    assert out.read_text() == page


def test_folders_find_their_lines_by_file(tmp_path):
    for name in ("000000", "000001", "000007", "other"):
        folders.write_folder_example(tmp_path, name, IMAGE, np.zeros((2, 2)), "generator")
    manifest.write_manifest(tmp_path, "generator", 4)
    lines = [
        {"index": 0, "file": "image/000000.png", "name": "000000", "scene": "a", "layers": 5},
        {"index": 1, "file": "image/000002.png", "scene": "b", "layers": 6},  # not that file
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / manifest.MANIFEST_LINES).write_text(text)
    rows = collect(tmp_path).rows
    assert [row.file for row in rows] == ["000000.png", "000001.png", "000007.png", "other.png"]
    assert [(row.scene, row.layers) for row in rows] == [("a", 5)] + [(None, None)] * 3


def test_bad_input(tmp_path, capsys):
    out = tmp_path / "card.html"
    assert run(tmp_path / "nowhere", "-o", out) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/nowhere: a dataset must be a")
    write_records(tmp_path, [COC_PX], ["p"], [{"index": 0}])
    with open(tmp_path / manifest.MANIFEST_LINES, "a") as file:
        file.write("half a li")
    assert run(tmp_path, "-o", out, "--pictures", 0) == 1
    assert "pictures must be at least 1; received 0" in capsys.readouterr().err
    (tmp_path / manifest.MANIFEST).rename(tmp_path / "away.json")
    # Folders that a writer has begun; their maps alone would tell 'generator'.
    folders.write_folder_example(tmp_path / "part", "000000", IMAGE, COC_PX / 4, "generator")
    (tmp_path / "part/parameters.json").write_text("{}")
    assert run(tmp_path, "-o", out) == 1
    assert "dataset.json, written when it is complete" in capsys.readouterr().err
    assert run(tmp_path / "part", "-o", out) == 1
    assert "dataset.json, written when it is complete" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "away.json").rename(tmp_path / manifest.MANIFEST)
    assert run(tmp_path, "-o", out) == 0
    assert "warning: " in capsys.readouterr().err

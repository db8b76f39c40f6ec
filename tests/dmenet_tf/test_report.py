"""The report: table, CSV, and a page that needs nothing beside itself."""

import base64
import csv
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from dmenet_tf.evaluation import report
from dmenet_tf.evaluation import report_pictures as pictures
from dmenet_tf.evaluation import runner as evaluation
from dmenet_tf.evaluation.protocols import CUHK, DBD, RTF, SYNDOF

RNG = np.random.default_rng(0)


class InMemory:
    """Pairs (image, truth) with names."""

    def __init__(self, truths, names=None):
        self.truths = truths
        self.names = names or [f"image {i}" for i in range(len(truths))]
        self.images = [RNG.integers(0, 256, (*truth.shape, 3), np.uint8) for truth in truths]

    def __len__(self):
        return len(self.truths)

    def name(self, index):
        return self.names[index]

    def read(self, index):
        return self.images[index], self.truths[index]


def make(protocol, source):
    """(samples, rows): a row that errs more from image to image, and the baselines."""
    samples = evaluation.Samples(source, protocol, progress=False)

    def map_of(index):
        truth = samples[index].truth
        return np.float32(np.clip(np.abs(truth - 0.1 * (index + 1)), 0, 1))

    row = evaluation.measured_row(
        "a run", "run", "320 px", map_of, samples, protocol, progress=False
    )
    return samples, [row, *evaluation.baseline_rows(samples, protocol, progress=False)]


def regression(count=3, names=None):
    truths = [np.float32(RNG.random((20, 30)) * 0.4) for _ in range(count)]
    return make(SYNDOF, InMemory(truths, names))


def page_of(tmp_path, protocol, samples, rows, **options):
    path = tmp_path / "report.html"
    report.write_html(path, protocol, samples, rows, "some photos", "the command", **options)
    return path.read_text(encoding="utf-8")


def decode(uri):
    kind, encoded = re.fullmatch(r"data:image/([a-z+]+);base64,(.+)", uri).groups()
    data = base64.b64decode(encoded)
    return data if kind == "svg+xml" else Image.open(io.BytesIO(data))


def test_the_table_is_aligned_and_marks_the_best():
    samples, rows = regression()
    lines = report.console_table(SYNDOF, rows).splitlines()
    heading = " ".join(lines[0].split())
    assert heading == "size seen MSE ↓ MAE ↓ MSE in /15 units ↓ MAE in /15 units ↓"
    assert "320 px" in lines[2] and "full size" in lines[3]
    assert "*" in lines[2] and "*" not in lines[-1]  # an oracle is no competitor
    assert len({line.find(".") for line in lines[2:-1]}) == 1


def test_undefined_figures_are_shown_and_counted():
    truths = [np.zeros((20, 30), np.float32), np.float32(np.arange(600).reshape(20, 30) > 300)]
    protocol = CUHK
    samples, rows = make(protocol, InMemory(truths))
    assert "mAP is a mean over 1 of 2 images" in report.console_table(protocol, rows)
    of_first = [dataclasses.replace(row, summary=protocol.summarise(row.measured[:1]))
                for row in rows]  # fmt: skip
    assert report.NOT_DEFINED in report.console_table(protocol, of_first)


def test_csv_holds_every_image_of_every_row(tmp_path):
    samples, rows = regression(names=["a", 'comma, "quote"', "c"])
    report.write_csv(tmp_path, SYNDOF, samples, rows)
    with open(tmp_path / "images.csv", encoding="utf-8", newline="") as opened:
        images = list(csv.DictReader(opened))
    assert len(images) == 3 * len(rows) and images[len(rows)]["image"] == 'comma, "quote"'
    assert float(images[0]["mse"]) == rows[0].measured[0].figures["mse"]
    with open(tmp_path / "summary.csv", encoding="utf-8", newline="") as opened:
        summary = list(csv.DictReader(opened))
    assert [row["row"] for row in summary] == [row.title for row in rows]
    assert float(summary[0]["mae_15"]) == rows[0].summary.figures["mae_15"]


@pytest.mark.parametrize("protocol", [RTF, DBD])
def test_the_page_loads_nothing_and_escapes_names(tmp_path, protocol):
    truths = [np.float32(RNG.random((20, 30)) > 0.5) for _ in range(2)]
    samples, rows = make(protocol, InMemory(truths, ["<script>alert(1)</script>", "b & c"]))
    page = page_of(tmp_path, protocol, samples, rows)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "b &amp; c" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert "url(" not in page and "@import" not in page
    for title in ("a run", "always blurred", "log-Laplacian energy", "some photos"):
        assert title in page
    for uri in sources:
        decode(uri)


def test_the_worst_and_the_best_images_are_chosen_once():
    assert report.worst_first([0.1, 0.5, 0.1, 0.9]) == [3, 1, 0, 2]
    order = list("abcde")
    assert report.ends(order, 2, 1) == ["a", "b", "e"]
    assert report.ends(order, 2, 0) == ["a", "b"]
    assert report.ends(order, 0, 2) == ["d", "e"]
    assert report.ends(order, 4, 3) == report.ends(order, 9, 9) == order
    assert report.ends(order, 0, 0) == []


def test_the_page_shows_them_worst_first(tmp_path):
    samples, rows = regression(5)
    page = page_of(tmp_path, SYNDOF, samples, rows, worst=2, best=1)
    errors = [m.figures["mse"] for m in rows[0].measured]
    by_error = [f"image {i}" for i in np.argsort(errors)[::-1]]
    assert by_error[0] == "image 4" and errors[0] < errors[4]
    cards = re.findall(r"<h3>(image \d)", page)
    assert cards == [by_error[0], by_error[1], by_error[4]]
    assert re.findall(r"<tr><td>(image \d)</td>", page) == by_error


def test_colours_of_decisions():
    # Truth 0 1 0 1, decided 0 1 1 0.
    picture = decode(pictures.decision_uri(np.array([[0, 1, 1, 0]]), np.array([[0, 1, 0, 1]])))
    pixels = np.asarray(picture.convert("RGB"))[0]
    assert [tuple(pixel) for pixel in pixels] == list(pictures.DECISIONS.values())


def test_colours_of_maps_and_differences():
    picture = decode(pictures.map_uri(np.array([[0.0, 0.5]]), stretch=False))
    from dmenet_tf.visualization import colour_map

    drawn = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(drawn - colour_map(np.array([[0.0, 0.5]]))).max() <= 3
    stretched = np.asarray(
        decode(pictures.map_uri(np.array([[0.0, 0.5]]), stretch=True)).convert("RGB")
    ).astype(int)
    assert np.abs(stretched - colour_map(np.array([[0.0, 1.0]]))).max() <= 3
    difference = decode(pictures.difference_uri([[0.6, 0.0, 0.3]], [[0.1, 0.5, 0.3]]))
    red, blue, white = np.asarray(difference.convert("RGB")).astype(int)[0]
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50 and np.ptp(white) < 8


def test_thumbnails_are_small_and_keep_their_shape():
    photo = decode(pictures.photo_uri(np.zeros((1000, 500, 3), np.uint8)))
    assert photo.size == (120, 240)
    assert decode(pictures.photo_uri(np.zeros((10, 3000, 3), np.uint8))).size == (240, 1)
    assert decode(pictures.map_uri(np.zeros((7, 9)), stretch=True)).size == (9, 7)

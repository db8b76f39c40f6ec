"""Names of outputs: short enough for a file system, and told from photos."""

import json

import numpy as np
import pytest
from PIL import Image

from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.summaries import (
    KIND,
    RESULTS,
    SUFFIXES,
    is_output,
    output_path,
    short_name,
)

LONGEST = [*SUFFIXES.values(), ".json", *(f".{kind}.png" for kind in RESULTS), ".depth_m.npy"]
LETTERS = {"a": "a", "umlauts": "ä", "four bytes": "\N{CAMERA}"}


def test_usual_names_stay():
    for length in (1, 100, 230):
        assert short_name("x" * length + ".jpg") == "x" * length + ".jpg"


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_the_outputs_of_the_longest_names_can_be_written(tmp_path, letter):
    count = (255 - 4) // len(letter.encode())
    names = [letter * count + ".jpg", letter * (count - 1) + "b.jpg"]
    for suffix in LONGEST:
        paths = [output_path(tmp_path, tmp_path / name, suffix) for name in names]
        assert paths[0] != paths[1]  # though only their ends differ, which are cut
        for path in paths:
            path.write_bytes(b"")
            assert ".jpg" + suffix == path.name[-len(suffix) - 4 :]
    short_name("x" * 252 + "\udcff.jpg").encode(errors="surrogateescape")  # bytes that are no text


@pytest.fixture
def written(tmp_path):
    """A map in every format, without a photo or a summary beside it."""
    photo = np.zeros((8, 12, 3), np.uint8)
    sigma_px = np.ones((8, 12), np.float32)
    for form, suffix in SUFFIXES.items():
        write_map(tmp_path / f"a{suffix}", form, sigma_px, Metadata("0", "paper"), photo)
    return tmp_path


@pytest.mark.parametrize("suffix", [s for form, s in SUFFIXES.items() if form != "npy"])
def test_a_map_is_told_by_what_it_holds(written, suffix):
    assert is_output(written / f"a{suffix}")
    # A photo of that name is none, unless the summary of one is beside it.
    other = written / f"b{suffix}"
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(other)
    assert not is_output(other)
    (written / "b.json").write_text(json.dumps({"kind": KIND}))
    assert is_output(other)


def test_a_result_is_told_by_its_name(tmp_path):
    for name in ("a.jpg.magnified.png", "a.HEIC.mask.png", "a.nef.deblurred.jpg",
                 "stdin.cutout.png", "a.gif.refocused.png"):  # fmt: skip
        assert is_output(tmp_path / name), name
    for name in ("magnified.png", "a.mask.png", "portrait.refocused.png", "a.jpg.png"):
        assert not is_output(tmp_path / name), name
    (tmp_path / "IMG_0001").write_bytes(b"")  # a photo without a suffix
    assert is_output(tmp_path / "IMG_0001.depth16.png")

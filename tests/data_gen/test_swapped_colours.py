"""Whether red and blue look swapped: on photographs as they are, and swapped."""

import json

import numpy as np
import pytest

from data_gen.curation import entry_points
from data_gen.curation.swapped_colours import looks_swapped, notes
from data_gen.io.images import write_png
from data_gen.scenes.photographs import load_photographs

PHOTOGRAPHS = load_photographs()
TELLING = "astronaut", "chelsea", "coffee", "motorcycle_left"


def swapped(image):
    return np.ascontiguousarray(image[..., ::-1])


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_no_photograph_looks_swapped_as_it_is(name):
    assert not looks_swapped(PHOTOGRAPHS[name])
    assert looks_swapped(swapped(PHOTOGRAPHS[name])) is not False


@pytest.mark.parametrize("name", TELLING)
def test_photographs_of_people_animals_and_wood_look_swapped_when_they_are(name):
    assert looks_swapped(PHOTOGRAPHS[name]) is False
    assert looks_swapped(swapped(PHOTOGRAPHS[name])) is True


def test_what_has_no_colours_tells_nothing():
    rng = np.random.default_rng(0)
    assert looks_swapped(rng.integers(0, 256, (1, 1, 3), np.uint8)) is None
    assert looks_swapped(rng.integers(0, 256, (50, 60, 1), np.uint8).repeat(3, 2)) is None
    sky = np.full((50, 60, 3), (90, 140, 230), np.uint8)
    assert looks_swapped(sky) is None  # smooth


def test_one_photo_of_the_sea_is_no_reason():
    assert notes([("sea", True), ("sea2", True), ("a", False)]) == []
    assert notes([("sea", None)] * 9) == []
    (note,) = notes(
        [(f"nyu_{i}", True) for i in range(3)] + [(f"hci_{i}", False) for i in range(9)]
    )
    assert note.startswith("3 of 3 images nyu_* are blue") and "--bgr-scenes 'nyu_*'" in note
    mixed = [("", index < 3) for index in range(7)]
    assert notes(mixed) == [] and len(notes(mixed[:6])) == 1


@pytest.mark.parametrize("change, told", [(swapped, 1), (np.asarray, 0)])
def test_inspect_says_so_of_scenes_and_of_datasets(tmp_path, capsys, change, told):
    depth = np.linspace(1000, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    for name in TELLING:
        image = change(np.ascontiguousarray(PHOTOGRAPHS[name][100:228:2, 100:228:2]))
        write_png(tmp_path / f"scenes/image/nyu_{name}.png", image)
        write_png(tmp_path / f"scenes/depth/nyu_{name}.png", depth)
        write_png(tmp_path / f"set/image/{name}.png", image)
        write_png(
            tmp_path / f"set/blur_map/{name}.png", np.uint16([[0, 70]]).repeat(32, 1).repeat(64, 0)
        )
    for folder, advice in (("scenes", "--bgr-scenes 'nyu_*'"), ("set", "red and blue swapped?")):
        entry_points.inspect([str(tmp_path / folder), "--json"])
        found = [n for n in json.loads(capsys.readouterr().out)["notes"] if "blue where" in n]
        assert len(found) == told and all(advice in note for note in found)

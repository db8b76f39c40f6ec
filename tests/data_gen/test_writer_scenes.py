"""python -m data_gen on odd and on impossible scenes."""

import cv2
import numpy as np
import pytest

from data_gen.dataset import records
from tests.support.generation import lines_of, run


def write_scene(folder, image, depth):
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "rgb.png"), image)
    np.save(folder / "depth.npy", depth)


NOISE = np.random.default_rng(1).integers(0, 256, (36, 44, 3), dtype=np.uint8)
PLANES = np.where(np.arange(44) < 20, 1.0, 3.0) * np.ones((36, 1))


def with_part(value):
    depth = PLANES.copy()
    depth[:10, :10] = value
    return depth


ODD_SCENES = {
    "holes": (NOISE, with_part(np.nan)),
    "inf": (NOISE, with_part(np.inf)),
    "zero": (NOISE, with_part(0.0)),
    "negative": (NOISE, with_part(-1.0)),
    "constant": (NOISE, np.full((36, 44), 2.0)),
    "16 bits": (NOISE.astype(np.uint16) * 257, PLANES),
    "grey": (NOISE[..., 0], PLANES),
    "grey of 16 bits": (NOISE[..., 0].astype(np.uint16) * 257, PLANES),
    "one column": (NOISE[:, :1], PLANES[:, 18:19]),
    "one row": (NOISE[:1], PLANES[:1]),
    "one pixel": (NOISE[:1, :1], PLANES[:1, :1]),
}


@pytest.mark.parametrize("name", ODD_SCENES)
def test_odd_scenes_give_sound_images(tmp_path, name):
    image, depth = ODD_SCENES[name]
    write_scene(tmp_path / "scenes" / "odd", image, depth)
    for crop in (0, 24):
        out = tmp_path / f"out{crop}"
        assert run("--root", tmp_path / "scenes", "--out", out, "--count", 2, "--crop", crop) == 0
        opened, lines = records.open_records(out), lines_of(out)
        for index, line in enumerate(lines):
            made, defocus = opened.read(index)
            assert made.shape[:2] == ((24, 24) if crop else depth.shape)
            assert defocus.min() >= 0 and defocus.max() <= 1
            assert 0 < line["near"] <= line["far"] < 10
            if line["near"] == line["far"]:
                # No lens blurs a flat scene.
                assert defocus.max() == 0
                if not crop:
                    expected = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
                    expected = expected[..., ::-1] if image.ndim == 3 else expected[..., None]
                    np.testing.assert_array_equal(made, np.broadcast_to(expected, made.shape))


@pytest.mark.parametrize(
    "image, depth, message",
    [
        (NOISE, np.full((36, 44), np.nan), "at least 10% of a depth map must be known"),
        (NOISE, np.zeros((36, 44)), "at least 10% of a depth map must be known"),
        (NOISE, PLANES[:20], "image and depth must have the same size"),
        (np.zeros((1, 3000, 3), np.uint8), np.ones((1, 3000)), "must have at most 64 megapixels"),
    ],
)
def test_scenes_that_are_refused(tmp_path, capsys, image, depth, message):
    write_scene(tmp_path / "scenes" / "bad", image, depth)
    out = tmp_path / "out"
    assert run("--root", tmp_path / "scenes", "--out", out, "--count", 4, "--crop", 240) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error and "bad" in error
    assert sorted(path.name for path in out.iterdir()) == ["parameters.json"]

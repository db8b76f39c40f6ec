"""Pairs of different sizes, depth of other suffixes, and depth that looks inverse."""

import numpy as np
import pytest

from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources.rgbd import open_source


def write(root, image, depth, name="s"):
    write_png(root / name / "rgb.png", np.zeros((*image, 3), np.uint8))
    np.save(root / name / "depth.npy", depth)
    return root


def ramp(height, width):
    return 1 + np.arange(height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize(
    ("image", "depth"),
    [((8, 12), (4, 6)), ((9, 13), (4, 6)), ((12, 18), (4, 6)), ((7, 11), (4, 6))],
)
def test_smaller_depth_is_repeated(tmp_path, image, depth):
    source = open_source(write(tmp_path, image, ramp(*depth)), resize_depth="nearest")
    ratio = round(image[0] / depth[0])
    height, width = min(image[0], 4 * ratio), min(image[1], 6 * ratio)
    read_image, read_depth = source.read(0)
    assert read_image.shape[:2] == read_depth.shape == (height, width)
    expected = ramp(*depth).repeat(ratio, 0).repeat(ratio, 1)[:height, :width]
    np.testing.assert_array_equal(read_depth, expected)


@pytest.mark.parametrize(("image", "depth"), [((4, 6), (8, 12)), ((4, 6), (12, 18))])
def test_larger_depth_keeps_the_middle_of_each_pixel(tmp_path, image, depth):
    source = open_source(write(tmp_path, image, ramp(*depth)), resize_depth="nearest")
    step = depth[0] // image[0]
    expected = ramp(*depth)[step // 2 :: step, step // 2 :: step]
    np.testing.assert_array_equal(source.read(0)[1], expected)


@pytest.mark.parametrize("resize", [None, "nearest"])
@pytest.mark.parametrize("depth", [(4, 12), (5, 7), (6, 9), (4, 8)])
def test_other_ratios_are_refused(tmp_path, depth, resize):
    source = open_source(write(tmp_path, (8, 12), ramp(*depth)), resize_depth=resize)
    with pytest.raises(DataFileError, match="must have the same size") as caught:
        source.read(0)
    assert "--resize-depth" not in str(caught.value)


def test_a_whole_ratio_names_the_option(tmp_path):
    with pytest.raises(DataFileError, match=r"\[4, 6\]; --resize-depth nearest resizes depth"):
        open_source(write(tmp_path, (8, 12), ramp(4, 6))).read(0)
    with pytest.raises(ValueError, match="resize_depth must be None or 'nearest'"):
        open_source(tmp_path, resize_depth="linear")


def test_equal_sizes_are_left_alone(tmp_path):
    source = open_source(write(tmp_path, (8, 12), ramp(8, 12)), resize_depth="nearest")
    np.testing.assert_array_equal(source.read(0)[1], ramp(8, 12))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.npy.gz", "unpack it first"),
        ("a.jpg", "a JPEG changes what it stores"),
        ("a.xyz", "depth is read from .png .npy"),
    ],
)
def test_depth_that_is_not_read_is_explained(tmp_path, name, why):
    write_png(tmp_path / "trees/rgb/a.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "trees/depth").mkdir()
    (tmp_path / "trees/depth" / name).write_bytes(b"x")
    write_png(tmp_path / "scenes/one/rgb.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "scenes/one" / name.replace("a.", "depth.", 1)).write_bytes(b"x")
    for root in ("trees", "scenes"):
        with pytest.raises(DataFileError, match="is not read: ") as caught:
            open_source(tmp_path / root)
        assert why in str(caught.value)


def write_scenes(root, depth, count, folder="depth"):
    for i in range(count):
        write_png(root / f"rgb/{i}.png", np.zeros((*depth.shape, 3), np.uint8))
        (root / folder).mkdir(exist_ok=True)
        np.save(root / f"{folder}/{i}.npy", depth)


FARTHER_ABOVE = ramp(12, 16)[::-1]


def test_depth_that_looks_inverse_is_told(tmp_path):
    for name, depth in (("metric", FARTHER_ABOVE), ("inverse", 1 / FARTHER_ABOVE)):
        write_scenes(tmp_path / name, depth, 5)
    assert open_source(tmp_path / "metric").note() == ""
    note = open_source(tmp_path / "inverse").note()
    assert "5 of 5 scenes" in note and "--depth inverse" in note
    # Who has said what the files hold is not asked again.
    for said in ("metric", "inverse"):
        assert open_source(tmp_path / "inverse", depth=said).note() == ""


def test_few_scenes_and_disparity_say_nothing(tmp_path):
    write_scenes(tmp_path / "few", 1 / FARTHER_ABOVE, 4)
    write_scenes(tmp_path / "named", 1 / FARTHER_ABOVE, 6, "disparity")
    assert open_source(tmp_path / "few").note() == open_source(tmp_path / "named").note() == ""


def test_real_scenes_do_not_look_inverse(shared):
    for folder in ("rgbd", "rgbd_phone"):
        assert open_source(shared / "data" / folder).note() == ""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources import depth_files
from data_gen.sources.depth import (
    clean_depth,
    disparity_depth,
    metric_depth,
    planar,
    read_depth,
)
from data_gen.sources.depth_files import DEPTH_SUFFIXES, read_array, read_calibration
from tests.support.depth_files import write_dpt, write_exr, write_pfm


@pytest.fixture
def ramp():
    """[20, 30] from 1000 to 1599, all different: every format below holds it exactly."""
    return 1000.0 + np.arange(600, dtype=np.float32).reshape(20, 30)


def test_every_format_gives_the_same_numbers(tmp_path, ramp):
    write_dpt(tmp_path / "a.dpt", ramp)
    write_pfm(tmp_path / "a.pfm", ramp)
    # Middlebury's scales are not factors, and a positive one means big-endian.
    write_pfm(tmp_path / "b.pfm", ramp, scale=-0.003922)
    write_pfm(tmp_path / "c.pfm", ramp, scale=1.0, order=">f4")
    np.save(tmp_path / "a.npy", ramp.astype(np.float64))
    np.savez(tmp_path / "a.npz", depth=ramp, fov=np.float32(60), K=np.eye(3)[:1])
    scipy.io.savemat(tmp_path / "a.mat", {"depth": ramp, "note": "text", "f": 3.0})
    write_png(tmp_path / "a.png", ramp.astype(np.uint16))
    write_png(tmp_path / "b.png", np.dstack([ramp.astype(np.uint16)] * 3))
    for name in ("a.h5", "a.hdf5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["frames/depth"] = ramp
            file["frames/K"] = np.eye(3)[0]
    if ".exr" in DEPTH_SUFFIXES:
        layers = {"View Layer.Depth.Z": ramp, "View Layer.Combined.R": ramp / 2}
        write_exr(tmp_path / "a.exr", layers)
        write_exr(tmp_path / "b.exr", {"R": ramp, "G": ramp, "B": ramp})  # Blender, one pass a file
        write_exr(tmp_path / "c.exr", {"V": np.float16(ramp)})  # exact up to 2048
    cv2.imwrite(str(tmp_path / "a.tiff"), ramp)
    cv2.imwrite(str(tmp_path / "b.tif"), ramp.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "a.pgm"), ramp.astype(np.uint16))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 14 + 3 * (".exr" in DEPTH_SUFFIXES)
    for path in files:
        depth = read_depth(path)
        assert depth.dtype == np.float32
        np.testing.assert_array_equal(depth, ramp, err_msg=path.name)
        # larger disparity = nearer
        np.testing.assert_allclose(read_depth(path, inverse=True), 1 / ramp, rtol=1e-6)


def test_an_exr_of_colours_is_no_depth(tmp_path, ramp):
    pytest.importorskip("OpenEXR", reason="needs the extra exr")
    write_exr(tmp_path / "a.exr", {"R": ramp, "G": ramp + 1, "B": ramp})
    with pytest.raises(DataFileError, match="Z, one channel, or equal ones; received B, G, R"):
        read_depth(tmp_path / "a.exr")
    # Blender's background is sky.
    depth = ramp.copy()
    depth[0] = 1e10
    write_exr(tmp_path / "a.exr", {"Z": depth})
    assert (read_depth(tmp_path / "a.exr")[0] == ramp.max()).all()


def test_an_exr_says_what_it_takes_to_be_read():
    reason = depth_files.why_not_read(Path("a/b.EXR"))
    assert "OpenEXR is not installed (pip install" in reason and "exr" in reason


def test_damaged_depth_files_are_refused(tmp_path, ramp):
    test_every_format_gives_the_same_numbers(tmp_path, ramp)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for data in (whole[: len(whole) // 2], b"", b"nonsense"):
            path.write_bytes(data)
            with pytest.raises(DataFileError, match=path.name):
                read_depth(path)


def test_what_is_no_map_is_refused(tmp_path, ramp):
    np.save(tmp_path / "line.npy", np.ones(5))
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=ramp, b=ramp)
    scipy.io.savemat(tmp_path / "none.mat", {"f": 3.0})
    write_png(tmp_path / "colour.png", np.dstack([ramp, ramp, ramp + 1]).astype(np.uint16))
    for name in ("line.npy", "object.npy", "two.npz", "none.mat", "colour.png"):
        with pytest.raises(DataFileError, match=name):
            read_depth(tmp_path / name)


def test_what_metric_values_mean():
    sentinels = np.array([[0, -1, np.nan, np.inf, 1e11, 5, 2e6, 3]], np.float32)
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(
        metric_depth(sentinels, "f"), np.float32([[nan, nan, nan, nan, inf, 5, inf, 3]])
    )
    stored = np.array([[0, 65535, 70, 65534]], np.uint16)
    # One channel: a saturated sensor. Three: SYNTHIA's sky.
    np.testing.assert_array_equal(metric_depth(stored, "f"), np.float32([[nan, nan, 70, 65534]]))
    np.testing.assert_array_equal(
        metric_depth(np.dstack([stored] * 3), "f"), np.float32([[nan, inf, 70, 65534]])
    )
    np.testing.assert_array_equal(metric_depth(np.uint8([[0, 255]]), "f"), np.float32([[nan, 255]]))


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        (np.float16, 65504), (np.float16, np.inf), (np.float32, 65504), (np.float64, 65535),
        (np.float32, 3e38), (np.int16, 32767), (np.int32, 2**31 - 1), (np.uint32, 2**32 - 1),
        (np.int32, 65535), (np.uint64, 2**64 - 1),
    ],
)  # fmt: skip
def test_the_largest_value_of_a_type_is_sky(tmp_path, dtype, largest):
    """It took the lens's whole range for itself, at a thousand times the scene's distance."""
    stored = np.full((20, 30), 4, dtype)
    stored[10:], stored[:5] = 8, largest
    np.save(tmp_path / "depth.npy", stored)
    known = metric_depth(read_array(tmp_path / "depth.npy"), "f")
    assert np.isposinf(known[:5]).all() and np.isfinite(known[5:]).all()
    np.testing.assert_array_equal(np.unique(read_depth(tmp_path / "depth.npy")), [4, 8])


def test_a_value_below_the_largest_is_a_distance():
    for dtype, value in ((np.float16, 65472), (np.int16, 32766), (np.float32, 65503.5)):
        stored = np.array([[value, 1]], dtype)
        np.testing.assert_array_equal(metric_depth(stored, "f"), np.float32([[value, 1]]))
    # Distances in tenths of millimetres: 65535 is one of them.
    stored = np.array([[65535, 90000]], np.int32)
    np.testing.assert_array_equal(metric_depth(stored, "f"), np.float32([[65535, 90000]]))


def test_what_disparities_mean():
    nan = np.nan
    values = np.array([[0, np.inf, nan, 2, 4]], np.float32)
    np.testing.assert_array_equal(
        disparity_depth(values, "f"), np.float32([[nan, nan, nan, 0.5, 0.25]])
    )
    # scale / (d + offset): 120 / (2 + 1) = 40, 120 / (4 + 1) = 24
    np.testing.assert_array_equal(
        disparity_depth(values, "f", scale=120.0, offset=1.0), np.float32([[nan, nan, nan, 40, 24]])
    )
    # A lone negative value is a code for unknown.
    np.testing.assert_array_equal(
        disparity_depth(np.float32([[-1, -1, 2, 4]]), "f"), np.float32([[nan, nan, 0.5, 0.25]])
    )


def test_relative_disparity_has_depths_up_to_three_times_the_nearest():
    # -2..2: the shift is 2 + (2 - -2)/2 = 4, depths 1/2, 1/4, 1/6; 0 is an ordinary value.
    depth = disparity_depth(np.float32([[-2, 0, 2, np.nan, -1]]), "f")
    np.testing.assert_allclose(depth, [[1 / 2, 1 / 4, 1 / 6, np.nan, 1 / 3]], rtol=1e-6)


def test_holes_take_the_nearest_known_depth():
    rng = np.random.default_rng(3)
    depth = rng.uniform(5, 9, (24, 31)).astype(np.float32)
    holes = rng.random(depth.shape) < 0.6
    holes[3:15, 4:20] = True
    filled = clean_depth(np.where(holes, np.nan, depth), "f")
    np.testing.assert_array_equal(filled[~holes], depth[~holes])
    ys, xs = np.nonzero(~holes)
    for y, x in zip(*np.nonzero(holes), strict=True):
        distance = (ys - y) ** 2 + (xs - x) ** 2
        nearest = distance == distance.min()
        assert filled[y, x] in depth[ys[nearest], xs[nearest]]


def test_sky_is_at_the_far_plane(ramp):
    ramp[:3] = np.inf
    sky = np.isinf(ramp)
    depth = clean_depth(ramp, "f")
    np.testing.assert_array_equal(depth[sky], 1599)
    np.testing.assert_array_equal(depth[~sky], ramp[~sky])
    beyond = clean_depth(ramp, "f", far=2000.0)
    np.testing.assert_array_equal(beyond[sky], 2000)
    np.testing.assert_array_equal(beyond[~sky], ramp[~sky])
    nearer = clean_depth(ramp, "f", far=1200.0)
    np.testing.assert_array_equal(nearer, np.minimum(ramp, 1200))


def test_specks_do_not_set_the_bounds(ramp):
    # 3 pixels of 600 are half a percent: less than the percent that counts as a speck.
    specks = ramp.copy()
    specks[0, :2], specks[0, 2] = 10.0, 90000.0
    depth = clean_depth(specks, "f")
    low, high = np.percentile(specks, (1, 99))
    np.testing.assert_allclose(depth, np.clip(specks, low, high), rtol=1e-6)
    assert 1000 <= depth.min() < 1010
    assert 1590 < depth.max() <= 1599
    # Ends within a factor of 2 of the percentiles are kept, and so is a larger near object.
    mild = ramp.copy()
    mild[0, :2], mild[0, 2] = 600.0, 3000.0
    np.testing.assert_array_equal(clean_depth(mild, "f"), mild)
    ramp[0, :12] = 10.0
    np.testing.assert_array_equal(clean_depth(ramp, "f"), ramp)


def test_flat_and_nearly_unknown_maps():
    flat = np.full((10, 10), 7.0, np.float32)
    np.testing.assert_array_equal(clean_depth(flat, "f"), flat)
    only_sky = clean_depth(np.full((4, 4), np.inf, np.float32), "f")
    assert only_sky.min() == only_sky.max() > 0
    flat[1:] = np.nan  # a tenth is known
    np.testing.assert_array_equal(clean_depth(flat, "f"), np.full((10, 10), 7.0))
    flat[0, 0] = np.nan
    for depth in (flat, np.full((4, 4), np.nan)):
        with pytest.raises(DataFileError, match=r"d\.png: at least 10% .* must be known"):
            clean_depth(depth, "d.png")


def test_calibration(tmp_path):
    path = tmp_path / "calib.txt"
    assert read_calibration(path) == (1.0, 0.0)
    path.write_text(
        "cam0=[3997.684 0 1176.728; 0 3997.684 1011.728; 0 0 1]\n"
        "cam1=[3997.684 0 1307.839; 0 3997.684 1011.728; 0 0 1]\n"
        "doffs=131.111\nbaseline=193.001\nwidth=2964\nheight=1988\nndisp=280\n"
    )
    scale, offset = read_calibration(path)
    assert (scale, offset) == (193.001 * 3997.684, 131.111)
    path.write_text("cam0=[3997.684 0 1176.728]\nbaseline=193.001\n")
    with pytest.raises(DataFileError, match=r"calib.txt: .*doffs="):
        read_calibration(path)


def test_distances_along_rays_become_depth_along_the_axis():
    # f = 2 px: at (1.5, 0.5) px from the centre the ray is sqrt(2.25 + 0.25 + 4) long.
    distance = np.full((2, 4), 10.0, np.float32)
    corner, inner = 20 / np.sqrt(6.5), 20 / np.sqrt(0.5**2 + 0.5**2 + 4)
    expected = [[corner, inner, inner, corner]] * 2
    np.testing.assert_allclose(planar(distance, 0.5), expected, rtol=1e-6)
    # A wall at a depth of 3 is 3 everywhere.
    x, y = np.arange(9) - 4, np.arange(7) - 3
    rays = 3 * np.sqrt(x[None] ** 2 + y[:, None] ** 2 + 9**2) / 9
    np.testing.assert_allclose(planar(rays, 1.0), np.full((7, 9), 3.0), rtol=1e-6)


def test_a_mask_says_what_is_unknown(tmp_path, ramp):
    mask = np.ones_like(ramp)
    mask[:, 0] = 0
    np.save(tmp_path / "depth.npy", ramp[..., None])
    np.save(tmp_path / "mask.npy", mask)
    depth = read_depth(tmp_path / "depth.npy", mask=tmp_path / "mask.npy")
    np.testing.assert_array_equal(depth[:, 0], ramp[:, 1])
    np.testing.assert_array_equal(depth[:, 1:], ramp[:, 1:])
    np.save(tmp_path / "mask.npy", mask[1:])
    with pytest.raises(DataFileError, match=r"mask.npy: .* \[20, 30\]; received \[19, 30\]"):
        read_depth(tmp_path / "depth.npy", mask=tmp_path / "mask.npy")

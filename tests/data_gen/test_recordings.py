"""Hypersim, DIODE and TUM, written as their own files are."""

import h5py
import numpy as np
import pytest

from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from data_gen.sources.depth import planar
from data_gen.sources.rgbd import open_source
from tests.support.depth_files import H, W


@pytest.fixture
def depth():
    return np.linspace(4, 2, H * W, dtype=np.float32).reshape(H, W)


def names(source):
    return [source.name(i) for i in range(len(source))]


def write_hypersim(root, frame, image, distance):
    folder = root / "ai_001_001/images"
    # The program reads what a file is from its bytes, not from its name.
    write_png(folder / f"scene_cam_00_final_preview/frame.{frame}.tonemap.jpg", image)
    write_png(folder / f"scene_cam_00_final_preview/frame.{frame}.diff.jpg", image // 2)
    geometry = folder / "scene_cam_00_geometry_hdf5"
    geometry.mkdir(exist_ok=True)
    with h5py.File(geometry / f"frame.{frame}.depth_meters.hdf5", "w") as file:
        file["dataset"] = distance.astype(np.float16)
    with h5py.File(geometry / f"frame.{frame}.normal_cam.hdf5", "w") as file:
        file["dataset"] = np.zeros((H, W, 3), np.float16)


@pytest.mark.parametrize("layout", ["auto", "hypersim"])
def test_hypersim(tmp_path, image, depth, layout):
    distance = np.float16(depth)
    distance[0, 0] = np.nan
    for frame in ("0000", "0010", "0002"):
        write_hypersim(tmp_path, frame, image, distance)
    source = open_source(tmp_path, layout)
    stem = "ai_001_001/images/scene_cam_00_final_preview/frame."
    assert names(source) == [f"{stem}0000", f"{stem}0002", f"{stem}0010"]
    read_image, read_depth = source.read(1)
    np.testing.assert_array_equal(read_image, image)
    # 886.81 px at a width of 1024, as the data set's authors state it.
    expected = planar(distance.astype(np.float32), 886.81 / 1024)
    np.testing.assert_allclose(read_depth[1:], expected[1:], rtol=1e-4)
    assert np.isfinite(read_depth).all()
    (tmp_path / "ai_001_001/images/scene_cam_00_final_preview/frame.0002.tonemap.jpg").unlink()
    with pytest.raises(DataFileError, match=r"frame.0002.depth_meters.hdf5: must have its image"):
        open_source(tmp_path, layout)


@pytest.mark.parametrize("layout", ["auto", "diode"])
def test_diode(tmp_path, image, depth, layout):
    folder = tmp_path / "indoors/scene_00019/scan_00183"
    mask = np.ones((H, W))
    mask[:, 0] = 0
    wrong = depth.copy()
    wrong[:, 0] = 90.0
    for stem in ("00019_indoors_000_010", "00019_indoors_010_020"):
        write_png(folder / f"{stem}.png", image)
        np.save(folder / f"{stem}_depth.npy", wrong[..., None])
        np.save(folder / f"{stem}_depth_mask.npy", mask)
    source = open_source(tmp_path, layout)
    assert names(source)[0] == "indoors/scene_00019/scan_00183/00019_indoors_000_010"
    expected = depth.copy()
    expected[:, 0] = expected[:, 1]
    np.testing.assert_array_equal(source.read(1)[1], expected)
    (folder / "00019_indoors_010_020.png").unlink()
    with pytest.raises(DataFileError, match=r"010_020_depth_mask.npy: .*010_020.png beside it"):
        open_source(tmp_path, layout)


def write_tum(folder, image, depth, images, depths):
    for kind, times in (("rgb", images), ("depth", depths)):
        lines = ["# color images", "# timestamp filename"]
        for i, time in enumerate(times):
            stored = np.uint16(np.rint((depth + i) * 5000))
            write_png(folder / kind / f"{time}.png", image if kind == "rgb" else stored)
            lines.append(f"{time} {kind}/{time}.png")
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("layout", ["auto", "tum"])
@pytest.mark.parametrize("sequence", ["rgbd_dataset_freiburg1_xyz", "."])
def test_tum_pairs_by_time(tmp_path, image, depth, layout, sequence):
    # The second depth is nearer to the second image than to the first; the last image has none.
    times = ["1.000000", "1.030000", "1.500000"], ["0.995000", "1.012000", "1.470000"]
    write_tum(tmp_path / sequence, image, depth, *times)
    source = open_source(tmp_path, layout)
    prefix = "" if sequence == "." else f"{sequence}/"
    assert names(source) == [f"{prefix}rgb/1.000000", f"{prefix}rgb/1.030000"]
    for i in range(2):
        np.testing.assert_allclose(source.read(i)[1], depth + i, atol=1e-4)  # metres
        assert source.origin(i)["depth"].endswith(("0.995000.png", "1.012000.png")[i])


@pytest.mark.parametrize(
    "line", ["1.0 rgb/1.0.png 0.9 depth/0.9.png", "0.9 depth/0.9.png 1.0 rgb/1.0.png"]
)
def test_tum_associations_are_taken_as_they_are(tmp_path, image, depth, line):
    write_tum(tmp_path, image, depth, ["1.0", "2.0"], ["0.9", "2.0"])
    (tmp_path / "associations.txt").write_text(f"{line}\n")
    source = open_source(tmp_path)
    assert names(source) == ["rgb/1.0"]
    np.testing.assert_allclose(source.read(0)[1], depth, atol=1e-4)
    (tmp_path / "associations.txt").write_text("1.0 rgb/1.0.png\n")
    with pytest.raises(DataFileError, match="associations.txt: a line must be 'time file time"):
        open_source(tmp_path)


def test_a_list_that_is_none_names_itself(tmp_path, image, depth):
    write_tum(tmp_path, image, depth, ["1.0"], ["1.0"])
    (tmp_path / "depth.txt").write_text("one depth/1.0.png\n")
    with pytest.raises(DataFileError, match="depth.txt: a line must be 'time file'"):
        open_source(tmp_path)

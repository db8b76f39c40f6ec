import numpy as np
import pytest
import tensorflow as tf

from data_gen import optics
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_rgb, write_png
from data_gen.rendering.lens import LENS_SAMPLERS, defocus_map
from data_gen.sources.base import concat
from data_gen.sources.rgbd import open_source
from tests.support.depth_files import H, W, write_dpt, write_pfm


@pytest.fixture
def depth():
    return np.linspace(2, 4, H * W, dtype=np.float32).reshape(H, W)


def write_dpt_at(path, depth):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dpt(path, depth)


def check(source, names, image, depth):
    assert [source.name(i) for i in range(len(source))] == names
    for i in range(len(source)):
        read_image, read_depth = source.read(i)
        assert (read_image.dtype, read_depth.dtype) == (np.uint8, np.float32)
        np.testing.assert_array_equal(read_image, image)
        np.testing.assert_allclose(read_depth, depth, rtol=1e-6)


@pytest.mark.parametrize("base", ["training/", ""])
@pytest.mark.parametrize("layout", ["auto", "sintel"])
def test_sintel(tmp_path, image, depth, base, layout):
    for scene, frame in (("alley_1", 2), ("alley_1", 10), ("cave_2", 1)):
        write_png(tmp_path / f"{base}clean/{scene}/frame_{frame}.png", image)
        write_png(tmp_path / f"{base}final/{scene}/frame_{frame}.png", image // 2)
        sky = depth.copy()
        sky[0] = 1e11
        write_dpt_at(tmp_path / f"{base}depth/{scene}/frame_{frame}.dpt", sky)
    expected = depth.copy()
    expected[0] = 4  # sky at the farthest known depth
    source = open_source(tmp_path, layout)
    check(source, ["alley_1/frame_2", "alley_1/frame_10", "cave_2/frame_1"], image, expected)
    expected[0] = 50
    far = open_source(tmp_path, layout, far=50)
    np.testing.assert_array_equal(far.read(0)[1], expected)


@pytest.mark.parametrize("layout", ["auto", "synthia"])
@pytest.mark.parametrize("sequence", ["SYNTHIA-SEQS-01-NIGHT/", ""])
def test_synthia(tmp_path, image, depth, sequence, layout):
    centimetres = np.rint(depth * 100).astype(np.uint16)
    stored = centimetres.copy()
    stored[:2] = 65535
    for view in ("Stereo_Left/Omni_F", "Stereo_Right/Omni_B"):
        write_png(tmp_path / f"{sequence}RGB/{view}/000000.png", image)
        write_png(tmp_path / f"{sequence}Depth/{view}/000000.png", np.dstack([stored] * 3))
    centimetres[:2] = 400
    names = [f"{sequence}Stereo_Left/Omni_F/000000", f"{sequence}Stereo_Right/Omni_B/000000"]
    check(open_source(tmp_path, layout), names, image, centimetres)


@pytest.mark.parametrize("layout", ["auto", "middlebury"])
def test_middlebury(tmp_path, image, depth, layout):
    # depth_mm = baseline * f / (disparity + doffs) = 100 * 500 / (disparity + 30)
    disparity = 50000 / (depth * 100) - 30
    disparity[0] = np.inf
    expected = depth * 100
    expected[0] = expected[1]
    write_png(tmp_path / "Adirondack/im0.png", image)
    write_png(tmp_path / "Adirondack/im1.png", image // 3)
    write_pfm(tmp_path / "Adirondack/disp0.pfm", disparity, scale=-0.003922)
    calibration = "cam0=[500 0 8; 0 500 6; 0 0 1]\ndoffs=30\nbaseline=100\nndisp=280\n"
    (tmp_path / "Adirondack/calib.txt").write_text(calibration)
    source = open_source(tmp_path, layout)
    check(source, ["Adirondack"], image, expected)

    old = np.rint(1000 / depth).astype(np.uint16)
    expected = 1 / old
    old[0] = 0
    expected[0] = expected[1]
    (tmp_path / "old").mkdir()
    for scene, left, right in (("Art", "view1", "disp1"), ("Cones", "im2", "disp2")):
        write_png(tmp_path / f"old/{scene}/{left}.png", image)
        write_png(tmp_path / f"old/{scene}/{right}.png", old)
    write_png(tmp_path / "old/Art/Illum1/Exp0/view1.png", image)
    check(open_source(tmp_path / "old", layout), ["Art", "Cones"], image, expected)

    (tmp_path / "Adirondack/calib.txt").write_text("cam0=[500 0 8]")
    with pytest.raises(DataFileError, match="calib.txt"):
        open_source(tmp_path, layout)
    write_png(tmp_path / "old/Books/view1.png", image)
    with pytest.raises(DataFileError, match=r"Books/view1.png: must have disp1"):
        open_source(tmp_path / "old", layout)


@pytest.mark.parametrize("layout", ["auto", "syndof-input"])
def test_syndof_input(tmp_path, image, depth, layout):
    centimetres = np.rint(depth * 100).astype(np.uint16)
    write_png(tmp_path / "image/MPI/market/frame_1.png", image)
    write_dpt_at(tmp_path / "depth/MPI/market/frame_1.dpt", depth)
    # A lone file pairs whatever its name, and holds depth whatever it is called.
    write_png(tmp_path / "image/midd/Adirondack/im0.png", image)
    write_png(tmp_path / "depth/midd/Adirondack/disp0.png", np.dstack([centimetres] * 3))
    source = open_source(tmp_path, layout)
    assert [source.name(i) for i in range(2)] == ["MPI/market/frame_1", "midd/Adirondack/im0"]
    np.testing.assert_array_equal(source.read(0)[1], depth)
    np.testing.assert_array_equal(source.read(1)[1], centimetres)


@pytest.mark.parametrize("images", ["rgb", "images", "Color"])
@pytest.mark.parametrize("depths", ["depth", "disparity"])
def test_folder_of_parallel_trees(tmp_path, image, depth, images, depths):
    stored = np.rint(depth * 1000).astype(np.uint16)
    for name in ("b/2", "b/10", "a"):
        write_png(tmp_path / images / f"{name}.png", image)
        write_png(tmp_path / depths / f"{name}.png", stored)
    inverse = depths == "disparity"
    names = ["a", "b/2", "b/10"]
    check(open_source(tmp_path), names, image, 1 / stored if inverse else stored)
    check(open_source(tmp_path, "folder", depth="inverse"), names, image, 1 / stored)
    check(open_source(tmp_path, "folder", depth="metric"), names, image, stored)


def test_folder_per_scene(tmp_path, image, depth):
    np.save(tmp_path / "x.npy", depth)
    write_png(tmp_path / "s10/rgb.png", image)
    write_png(tmp_path / "s9/im0.png", image)
    write_png(tmp_path / "deep/er/view1.png", image)
    for scene, name in (("s10", "depth"), ("s9", "disp0"), ("deep/er", "disp1")):
        np.save(tmp_path / scene / f"{name}.npy", depth)
    source = open_source(tmp_path)
    assert [source.name(i) for i in range(3)] == ["deep/er", "s9", "s10"]
    for i, expected in enumerate((1 / depth, 1 / depth, depth)):
        np.testing.assert_allclose(source.read(i)[1], expected, rtol=1e-6)
    # A folder may itself be the scene; a depth map goes before a disparity.
    np.save(tmp_path / "s10/disp.npy", 1 / depth)
    check(open_source(tmp_path / "s10"), ["s10"], image, depth)


def test_swapped_colours(tmp_path, image, depth):
    for scene in ("nyu_1", "other"):
        write_png(tmp_path / scene / "rgb.png", image)
        np.save(tmp_path / scene / "depth.npy", depth)
    source = open_source(tmp_path, bgr_scenes=("nyu_*",))
    np.testing.assert_array_equal(source.read(0)[0], image[..., ::-1])
    np.testing.assert_array_equal(source.read(1)[0], image)


def test_missing_partners_and_unknown_roots(tmp_path, image, depth):
    with pytest.raises(DataFileError, match="nowhere: a source must be a folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataFileError, match=r"found none of: .*frame|found none of: .*im0"):
        open_source(tmp_path)
    write_png(tmp_path / "a/rgb/x.png", image)
    write_png(tmp_path / "a/rgb/y.png", image)
    write_png(tmp_path / "a/depth/x.png", image[..., 0])
    with pytest.raises(DataFileError, match=r"a/rgb/y.png: .*looked for .*a/depth/y with"):
        open_source(tmp_path / "a")
    (tmp_path / "a/rgb/y.png").unlink()
    np.save(tmp_path / "a/depth/x.npy", depth)
    with pytest.raises(DataFileError, match=r"one file; .*x\.n?p"):
        open_source(tmp_path / "a")
    (tmp_path / "a/rgb/x.png").unlink()
    (tmp_path / "a/depth/x.npy").unlink()
    with pytest.raises(DataFileError, match=r"a/depth/x.png: .*looked for .*a/rgb/x with"):
        open_source(tmp_path / "a")
    write_png(tmp_path / "b/scene/rgb.png", image)
    with pytest.raises(DataFileError, match=r"scene/rgb.png: .*looked for depth, disp"):
        open_source(tmp_path / "b")


def test_options_are_checked(tmp_path, image, depth):
    for options in ({"layout": "kitti"}, {"depth": "log"}, {"far": 0}):
        with pytest.raises(ValueError, match="layout must be one of auto, sintel"):
            open_source(tmp_path, **options)
    write_png(tmp_path / "clean/a/1.png", image)
    write_dpt_at(tmp_path / "depth/a/1.dpt", depth)
    with pytest.raises(ValueError, match="'sintel' itself says"):
        open_source(tmp_path, depth="inverse")


def test_damaged_scenes_name_their_file(tmp_path, image, depth):
    write_png(tmp_path / "s/rgb.png", image)
    np.save(tmp_path / "s/depth.npy", depth[:, :-2])
    source = open_source(tmp_path)
    sizes = r"rgb.png, .*depth.npy: .*\[12, 16\] and \[12, 14\]"
    with pytest.raises(DataFileError, match=sizes):
        source.read(0)
    # One row or column is cropped away.
    np.save(tmp_path / "s/depth.npy", depth[:-1, :-1])
    check(source, ["s"], image[:-1, :-1], depth[:-1, :-1])
    np.save(tmp_path / "s/depth.npy", depth * np.nan)
    with pytest.raises(DataFileError, match=r"depth.npy: at least 10%"):
        source.read(0)
    (tmp_path / "s/rgb.png").write_bytes(b"")
    with pytest.raises(DataFileError, match=r"rgb.png: .*empty"):
        source.read(0)


def test_concat_and_tf_data(tmp_path, image, depth):
    for part, count in (("p", 2), ("q", 1)):
        for i in range(count):
            write_png(tmp_path / part / f"{part}{i}/rgb.png", image)
            np.save(tmp_path / part / f"{part}{i}/depth.npy", depth + len(part) * i)
    p, q = open_source(tmp_path / "p"), open_source(tmp_path / "q")
    joined = concat([p, q, concat([q, p])])
    assert len(joined) == 6
    assert [joined.name(i) for i in range(6)] == ["p0", "p1", "q0", "q0", "p0", "p1"]
    for i in (-1, 6):
        with pytest.raises(IndexError, match="0 .. 5"):
            joined.read(i)

    def read(i):
        return tf.numpy_function(joined.read, [i], (tf.uint8, tf.float32))

    nears = [float(d.min()) for _, d in tf.data.Dataset.range(6).map(read).as_numpy_iterator()]
    assert nears == [2, 3, 2, 2, 2, 3]


# --- real data -------------------------------------------------------------------------------


def test_native_scenes(shared):
    source = open_source(shared / "data/native")
    names = [source.name(i) for i in range(len(source))]
    assert [name.split("/")[0] for name in names] == ["MPI", "SYNTHIA", "middleburry"]
    # Sintel in metres, its sky at the farthest known depth; SYNTHIA's street without its last
    # percent (a few facades up to 336 m away) and Middlebury's table, in centimetres.
    bounds = [(6.615, 101.48), (175, 4377), (162, 307)]
    for i, (near, far) in enumerate(bounds):
        image, depth = source.read(i)
        assert image.shape == (*depth.shape, 3)
        np.testing.assert_allclose([depth.min(), depth.max()], [near, far], rtol=1e-3)


@pytest.mark.parametrize("sampler", ["paper", "generator"])
def test_native_scenes_give_useful_blur(shared, sampler):
    """Over many lenses most samples have much blur, on many pixels, and something sharp."""
    source = open_source(shared / "data/native")
    for i in range(len(source)):
        depth = source.read(i)[1]
        near, far = depth.min(), depth.max()
        largest_px, blurred = [], []
        for k in range(60):
            lens = LENS_SAMPLERS[sampler]([i, k], near, far)
            coc_px = optics.defocus_to_coc(defocus_map(depth, lens).numpy())
            largest_px.append(coc_px.max())
            blurred.append(np.mean(coc_px > 2))
        blurred = np.array(blurred)
        assert np.mean(np.array(largest_px) > 10) > 0.5
        assert 0.4 < blurred.mean() < 0.95
        # Most samples are neither all sharp nor all blurred: the focus lies within the scene.
        assert np.mean((blurred > 0.05) & (blurred < 0.99)) > 0.6


def test_all_rgbd_scenes_read(shared):
    source = open_source(shared / "data/rgbd", bgr_scenes=("nyu_*",))
    assert len(source) == 38
    for i in range(len(source)):
        image, depth = source.read(i)
        assert image.shape == (*depth.shape, 3), source.name(i)
        assert np.isfinite(depth).all() and depth.min() > 0, source.name(i)
        # Nothing is left that would have the lens to itself: these scenes are rooms and tables.
        assert 1.1 < depth.max() / depth.min() < 40, source.name(i)
    names = [source.name(i) for i in range(38)]
    swapped = source.read(names.index("nyu_272"))[0]
    stored = read_rgb(shared / "data/rgbd/nyu_272/rgb.jpg")
    np.testing.assert_array_equal(swapped, stored[..., ::-1])


def test_phone_scenes_read(shared):
    source = open_source(shared / "data/rgbd_phone")
    assert len(source) == 203
    for i in range(0, 203, 25):
        image, depth = source.read(i)
        assert image.shape == (384, 512, 3)
        assert 300 < depth.min() < depth.max() < 6000  # millimetres

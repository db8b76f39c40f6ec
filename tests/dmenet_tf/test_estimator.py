"""The Python API: what it takes, gives, saves, shows and refuses."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import dmenet_tf
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.prediction import backends
from dmenet_tf.prediction.map_files import read_map
from dmenet_tf.prediction.summaries import SUFFIXES
from dmenet_tf.weights.published import save_published
from tests.support.lively import lively

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    save_published(path, lively(build_blur_estimation(0.03)), encoding="paper")
    return path


@pytest.fixture(scope="module")
def estimator(weights):
    return dmenet_tf.load(weights)


@pytest.fixture(scope="module")
def result(estimator):
    return estimator(PHOTO)


def test_the_three_lines(weights, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    estimator = dmenet_tf.load(str(weights))
    result = estimator(str(tmp_path / "photo.png"))
    assert result.sigma_px.shape == (40, 60) and result.sigma_px.dtype == np.float32
    assert result.name == "photo.png"
    np.testing.assert_allclose(result.sigma_px, 7 * result.defocus, rtol=1e-6)
    assert result.metadata.model == estimator.metadata.model


def test_what_is_worth_knowing_of_a_file_is_a_warning(estimator, tmp_path):
    page = Image.fromarray(PHOTO)
    page.save(tmp_path / "photo.tif", save_all=True, append_images=[page])
    with pytest.warns(UserWarning, match=r"photo.tif: .*page") as caught:
        estimator(tmp_path / "photo.tif")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="the photo: .*page"):
        estimator((tmp_path / "photo.tif").read_bytes())


def test_a_list_gives_a_list(estimator, result, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    several = estimator([path, path.read_bytes(), Image.open(path), PHOTO])
    assert [made.name for made in several] == ["photo.png", "photo", "photo.png", "photo"]
    for made in several:
        np.testing.assert_array_equal(made.sigma_px, result.sigma_px)
    assert estimator([]) == []


def test_a_mask_is_what_is_sharp(estimator, result):
    assert result.sharp_below_px == 1 and result.mask().dtype == bool
    np.testing.assert_array_equal(result.mask(), result.sigma_px < 1)
    np.testing.assert_array_equal(result.mask(3.5), result.sigma_px < 3.5)
    assert 0 < result.mask(3.5).mean() < 1
    # A pixel that the network sees is two of the photo's.
    reduced = estimator(PHOTO, max_side=30)
    assert reduced.sharp_below_px == 2 and reduced.metadata.max_side == 30
    np.testing.assert_array_equal(reduced.mask(), reduced.sigma_px < 2)
    assert reduced.figures()["share_sharp"] == pytest.approx(reduced.mask().mean())
    assert reduced.figures()["sharp_below_px"] == 2


def test_a_map_is_saved_in_the_format_that_its_name_says(result, tmp_path):
    for format, suffix in SUFFIXES.items():
        assert result.save(tmp_path / f"a.jpg{suffix}").is_file()
        assert result.save(tmp_path / f"{format}.any", format).is_file()
    for name in ("b.npy", "b.TIFF", "b.sigma16.png", "b.png"):
        sigma_px, metadata = read_map(result.save(tmp_path / name))
        assert np.abs(sigma_px - result.sigma_px).max() <= (7 / 256 if name == "b.png" else 1e-4)
        assert metadata is None or metadata == result.metadata
    fixed = result.save(tmp_path / "c.png", colours=(0, 100))  # a step of 100 / 256
    assert len(np.unique(read_map(fixed)[0])) < 20
    with pytest.raises(ValueError, match=r"must end in \.npy, .*received .*a\.jpg"):
        result.save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="gif"):
        result.save(tmp_path / "a.png", "gif")


def test_a_result_shows_photo_and_map(result):
    figure = result.plot()
    photo, map_, scale = figure.axes
    assert (photo.get_title(), scale.get_ylabel()) == ("photo", "pixels of the photo; 0 = sharp")
    np.testing.assert_allclose(map_.get_images()[0].get_array(), result.sigma_px)
    assert map_.get_xlim() == (-0.5, 59.5) and map_.get_ylim() == (39.5, -0.5)
    picture = np.asarray(Image.open(io.BytesIO(result._repr_png_())).convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 256  # not a white sheet
    assert re.fullmatch(
        r"DefocusMap\(photo, 60 x 40 px: median sigma \d\.\d\d px, \d+% sharp\)", repr(result)
    )
    page = result._repr_html_()
    assert 'src="data:image/png;base64,iVBOR' in page and "median sigma" in page


def test_a_name_is_text_wherever_it_is_shown(estimator, tmp_path):
    path = tmp_path / "<b>$x_1$&.png"
    Image.fromarray(PHOTO).save(path)
    made = estimator(path)
    assert "<b>" not in made._repr_html_() and "&lt;b&gt;$x_1$&amp;.png" in made._repr_html_()
    assert made.plot().axes[0].get_title() == path.name


def test_large_and_narrow_photos_are_drawn_small(estimator):
    made = estimator(np.zeros((16, 2000, 3), np.uint8))
    assert len(made._repr_png_()) < 200_000
    assert made.plot().axes[1].get_xlim() == (-0.5, 1999.5)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path, monkeypatch, nothing_shipped):
    with pytest.raises(FileNotFoundError, match="ships no trained weights: pass a run's folder"):
        dmenet_tf.load()
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        dmenet_tf.load(tmp_path / "none")
    with pytest.raises(ValueError, match="received both"):
        dmenet_tf.load("runs/demo", server="127.0.0.1:8500")
    monkeypatch.setattr(backends.importlib.metadata, "entry_points", lambda **_: ())
    with pytest.raises(ImportError, match="a server needs what is not installed") as raised:
        dmenet_tf.load(server="127.0.0.1:8500")
    assert "\n" not in str(raised.value)


def test_shipped_weights_are_taken_where_none_are_given(weights, monkeypatch, result):
    monkeypatch.setattr(backends, "shipped_weights", lambda: weights)
    np.testing.assert_array_equal(dmenet_tf.load()(PHOTO).sigma_px, result.sigma_px)


def test_public_names_are_there_and_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, dmenet_tf\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'cv2', 'PIL', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert set(dmenet_tf.__all__) <= set(dir(dmenet_tf))\n"
        "assert all(getattr(dmenet_tf, name) for name in dmenet_tf.__all__)\n"
        "left = {'tensorflow', 'keras', 'matplotlib', 'grpc'} & set(sys.modules)\n"
        "assert not left, left\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert re.match(r"\d+\.\d+|unknown", dmenet_tf.__version__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dmenet_tf.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["load", "Estimator", "DefocusMap"])
def test_names_are_those_of_the_module_that_has_them(name):
    from dmenet_tf.prediction import estimator

    assert getattr(dmenet_tf, name) is getattr(estimator, name)

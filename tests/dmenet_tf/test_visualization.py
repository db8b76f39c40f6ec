"""Maps as pictures: colours, panels, and the file that a run leaves."""

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from dmenet_tf import visualization as pictures

RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 24, 40, 3), np.float32)
PREDICTED = RNG.random((2, 24, 40, 1), np.float32)
TRUTH = RNG.random((2, 24, 40), np.float32)


def test_colours_have_a_fixed_range_and_grow_brighter():
    ramp = np.linspace(0, 1, 64)
    colours = pictures.colour_map(ramp)
    assert colours.dtype == np.uint8 and colours.shape == (64, 3)
    lightness = cv2.cvtColor(colours[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all() and lightness[0] < 5 and lightness[-1] > 240
    # A map's own extremes do not stretch it, and values beyond the range take the end's colour.
    np.testing.assert_array_equal(pictures.colour_map(ramp[10:20]), colours[10:20])
    np.testing.assert_array_equal(pictures.colour_map([-0.5, 1.5]), colours[[0, -1]])
    assert pictures.colour_map([[np.nan]]).tolist() == [[[0, 255, 255]]]


def test_panel_puts_every_part_in_its_place():
    picture = pictures.panel(IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    top, height, width = pictures.HEADER_PX, 24 + pictures.GAP_PX, 40 + pictures.GAP_PX
    assert picture.shape == (top + 2 * height, 4 * width, 3) and picture.dtype == np.uint8

    def cell(row, column):
        return picture[top + row * height :, column * width :][:24, :40]

    grey = np.repeat(np.rint(255 * PREDICTED), 3, axis=-1)
    for row in (0, 1):
        np.testing.assert_array_equal(cell(row, 0), np.rint(255 * IMAGE[row]))
        np.testing.assert_array_equal(cell(row, 1), pictures.colour_map(PREDICTED[row, ..., 0]))
        np.testing.assert_array_equal(cell(row, 2), pictures.colour_map(TRUTH[row]))
        np.testing.assert_array_equal(cell(row, 3), grey[row])
    for column in range(4):  # each column has its title
        assert picture[:top, column * width : (column + 1) * width].max() > 200
    assert pictures.panel(IMAGE, PREDICTED).shape == (top + 2 * height, 2 * width, 3)


def test_pictures_refuse_maps_of_another_size():
    with pytest.raises(ValueError, match=r"`truth` .*\(2, 24, 40\); received \(2, 24, 39, 1\)"):
        pictures.panel(IMAGE, PREDICTED, np.zeros((2, 24, 39, 1)))
    with pytest.raises(ValueError, match=r"`image` is \[B, H, W, 3\]; received \(24, 40, 3\)"):
        pictures.panel(IMAGE[0], PREDICTED[0])


def test_saved_panel_shows_the_maps_and_is_written_whole(tmp_path, monkeypatch):
    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k)
    )
    path = tmp_path / "demo.png"
    path.write_bytes(b"an older picture")
    # Three flat maps: their colours fill large areas of the picture, whatever its layout.
    predicted, truth = np.full((2, 24, 40), 0.5), np.full((2, 24, 40), 0.9)
    pictures.save_panel(path, np.full((2, 24, 40, 3), 0.25), predicted, truth)
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert list(tmp_path.iterdir()) == [path]
    for colour in ([64, 64, 64], *pictures.colour_map([0.5, 0.9]).tolist()):
        share = (picture == colour).all(-1).mean()
        assert 0.1 < share < 0.3, colour
    (bar,) = (axes for axes in figures[0].axes if "defocus" in axes.get_ylabel())
    (pixels,) = bar.child_axes
    assert (bar.get_ylim(), pixels.get_ylim()) == ((0, 1), (0, 7))
    assert pixels.get_ylabel() == "sigma (px)"
    titles = [axes.get_title() for axes in figures[0].axes[:3]]
    assert titles == ["input", "predicted defocus", "true defocus"]

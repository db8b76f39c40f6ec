"""Maps as pictures: colours, panels, and the file that a run leaves."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


# --- the range of the colours ------------------------------------------------------------------


def test_the_colours_cover_the_maps_own_range():
    colours = pictures.own_range(np.float32([[0.5, 3.0], [1.0, 4.5]]))
    assert colours == (0.5, 4.5)
    assert colours.share(np.float32([0.5, 2.5, 4.5])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "sigma_px, sigma_max_px, expected",
    [
        ([0.1, 0.3], 7, (0.1, 2.0)),  # sharp all over: dark
        ([0.0, 0.0], 7, (0.0, 2.0)),
        ([0.8, 1.9], 7, (0.8, 2.0)),
        ([1.6, 1.7], 7, (1.0, 2.0)),
        ([5.0, 5.5], 7, (4.5, 5.5)),  # blurred all over, and nearly alike: bright
        ([20.0, 21.0], 28, (17.0, 21.0)),  # of a photo reduced to a quarter: 4 px are one of its
        ([0.7, 3.6], 14, (0.7, 4.0)),
    ],
)
def test_a_flat_map_looks_flat(sigma_px, sigma_max_px, expected):
    colours = pictures.own_range(np.float32([sigma_px]), sigma_max_px)
    assert colours == pytest.approx(expected)


@given(low=st.floats(0, 1000), span=st.floats(0.01, 1000), count=st.integers(1, 10))
def test_ticks_are_round_and_inside(low, span, count):
    high = low + span
    values = pictures.ticks(low, high, count)
    assert len(values) <= count + 1 and values == sorted(set(values))
    assert all(low - 0.011 * span <= value <= high + 0.011 * span for value in values)
    if len(values) > 2:
        step = values[1] - values[0]
        assert np.diff(values) == pytest.approx(step, rel=1e-3)
        assert float(f"{step / 10 ** np.floor(np.log10(step) + 1e-6):.3g}") in (1, 2, 5)


def test_ticks_of_some_ranges():
    assert pictures.ticks(0.0, 7.0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert pictures.ticks(1e-5, 3.42) == [0, 0.5, 1, 1.5, 2, 2.5, 3]  # the end is 0 but for nothing
    assert pictures.ticks(0.0, 28.0, 5) == [0, 10, 20]
    assert pictures.ticks(0.3, 0.7, 1) in ([0.5], [])


# --- pictures of one map -----------------------------------------------------------------------


def test_the_scale_stands_beside_the_picture_and_shows_its_colours():
    picture = RNG.integers(0, 256, (300, 200, 3), np.uint8)
    whole = pictures.with_scale(picture, pictures.ColourRange(0.5, 4.5))
    np.testing.assert_array_equal(whole[:, :200], picture)
    bar = whole[:, 200 + pictures.GAP_PX]
    # From the bright end down to the dark one, beginning below the unit and ending above the edge.
    lightness = cv2.cvtColor(bar[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    rows = np.flatnonzero((bar == pictures.colour_map(1.0)).all(-1))
    start = rows[0]
    stop = np.flatnonzero((bar == pictures.colour_map(0.0)).all(-1))[-1]
    assert 20 < start < 60 and 280 < stop < 300
    assert (np.diff(lightness[start : stop + 1]) <= 0).all()
    # Ticks: dark marks just right of the bar, one for each round number, 0.5 to 4.5.
    column = 200 + pictures.GAP_PX + 13
    marks = (whole[start : stop + 1, column] < 128).all(-1)
    assert marks.sum() == len(pictures.ticks(0.5, 4.5)) == 9
    expected = [round((4.5 - value) / 4 * (stop - start)) for value in pictures.ticks(0.5, 4.5)]
    assert np.abs(np.flatnonzero(marks) - sorted(expected)).max() <= 1


@pytest.mark.parametrize("height", [1, 30, 64, 100, 1000, 6000])
def test_a_scale_of_every_height(height):
    colours = pictures.ColourRange(12.0, 112.3)
    picture = pictures.with_scale(np.zeros((height, 8, 3), np.uint8), colours)
    assert picture.dtype == np.uint8 and picture.shape[0] == height
    assert (picture.shape[1] == 8) == (height < pictures.SCALE_MIN_HEIGHT_PX)
    assert (picture[:, -2:] == 255).all() or picture.shape[1] == 8  # nothing is cut off


@pytest.mark.parametrize("height, width", [(90, 120), (3000, 4000), (4000, 3000), (5000, 300)])
def test_side_by_side_is_never_wider_than_a_screen(height, width):
    image = np.full((height, width, 3), 200, np.uint8)
    sigma_px = np.full((height, width), 2.0, np.float32)
    sigma_px[:, width // 2 :] = 6.0
    colours = pictures.ColourRange(2.0, 6.0)
    side = pictures.side_by_side(image, sigma_px, colours)
    assert side.shape[1] <= 2000
    half = np.flatnonzero((side[0] == 255).all(-1))[0]  # the first gap: where the photo ends
    assert half / side.shape[0] == pytest.approx(width / height, abs=0.01)
    assert (side[:, :half] == 200).all()
    drawn = side[:, half + pictures.GAP_PX :][:, :half]
    np.testing.assert_array_equal(drawn[:, 0], np.tile(pictures.colour_map(0.0), (len(side), 1)))
    np.testing.assert_array_equal(drawn[:, -1], np.tile(pictures.colour_map(1.0), (len(side), 1)))


# --- panels ------------------------------------------------------------------------------------


def test_panel_puts_every_part_in_its_place():
    picture = pictures.panel(IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    # 40 px are too narrow for a heading: three times as large.
    gap = pictures.CELL_GAP_PX
    height, width = 3 * 24 + gap, 3 * 40 + gap
    top = len(picture) - 2 * height
    assert 20 < top < 60 and picture.dtype == np.uint8

    def cell(row, column):
        enlarged = picture[top + row * height :, column * width :][: 3 * 24, : 3 * 40]
        np.testing.assert_array_equal(enlarged, enlarged[::3, ::3].repeat(3, 0).repeat(3, 1))
        return enlarged[::3, ::3]

    grey = np.repeat(np.rint(255 * PREDICTED), 3, axis=-1)
    for row in (0, 1):
        np.testing.assert_array_equal(cell(row, 0), np.rint(255 * IMAGE[row]))
        np.testing.assert_array_equal(cell(row, 1), pictures.colour_map(PREDICTED[row, ..., 0]))
        np.testing.assert_array_equal(cell(row, 2), pictures.colour_map(TRUTH[row]))
        np.testing.assert_array_equal(cell(row, 3), grey[row])
    for column in range(4):  # each column has its title, which ends before the next
        header = picture[:top, column * width : (column + 1) * width]
        assert header.max() > 200 and header[:, -6:].max() == 0 and header[-1].max() == 0
    # Beside them, the scale of sigma up to 7 px.
    scale = picture[:, 4 * width + pictures.GAP_PX :]
    np.testing.assert_array_equal(
        picture[:, 4 * width :],
        pictures.with_scale(picture[:, : 4 * width], pictures.ColourRange(0, 7))[:, 4 * width :],
    )
    assert (scale == pictures.colour_map(1.0)).all(-1).any()


@pytest.mark.parametrize("height, width", [(1, 1), (16, 16), (64, 64), (3, 400)])
def test_a_panel_of_any_size_has_whole_headings_and_a_scale(height, width):
    image, plane = np.zeros((1, height, width, 3)), np.zeros((1, height, width))
    picture = pictures.panel(image, plane, plane, plane)
    times = -(-pictures.CELL_MIN_WIDTH_PX // width)
    cell = times * width + pictures.CELL_GAP_PX
    assert picture.shape[0] >= pictures.SCALE_MIN_HEIGHT_PX and picture.shape[1] > 4 * cell
    top = len(pictures._heading("true defocus", cell))
    headers = picture[:top, : 4 * cell].reshape(top, 4, cell, 3)
    assert headers[:, :, -6:].max() == 0 and (headers.max(axis=(0, 2, 3)) > 200).all()


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

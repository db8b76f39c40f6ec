"""The page: what it shows is what the map says."""

import base64
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("grpc", reason="needs the extra demo")

from data_gen.io.images import write_png
from data_gen.scenes.photographs import packaged_path
from dmenet_tf.prediction.map_files import read_map
from dmenet_tf.visualization import ColourRange, colour_map, overlay
from serving import page
from serving.client import ServingError
from serving.web import examples, results, words
from tests.support.page import FakeEstimator

LOOK = "inferno", "own", 7.0  # the page's controls of colours, as they stand at first


def analyse(path, estimator=None, max_side=0):
    return results.analyse(path, estimator or FakeEstimator(), max_side, page.DEFAULT_SIDE)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    write_png(path, np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    return path


def read_as_the_page_does(value, x, y):
    """(sigma, photo's row, photo's column) at a pixel of the shown picture, as web/viewer.js."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(value["sigma"])), "<u2")
    row = int((y + 0.5) * value["photo_height"] / value["height"])
    column = int((x + 0.5) * value["photo_width"] / value["width"])
    return steps[y * value["width"] + x] * value["step_px"], row, column


# --- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(60, 90), (40, 3001), (2001, 33)])
def test_what_is_read_is_the_maps_value_at_the_pixel_that_is_named(tmp_path, height, width):
    path = tmp_path / "photo.png"
    write_png(path, np.zeros((height, width, 3), np.uint8))
    value = results.viewer_value(analyse(path))
    assert max(value["width"], value["height"]) <= results.VIEW_SIDE_PX
    assert (value["photo_width"], value["photo_height"]) == (width, height)
    sigma_px = FakeEstimator.known(height, width)
    for x in np.linspace(0, value["width"] - 1, 7).astype(int):
        for y in (0, value["height"] // 2, value["height"] - 1):
            read, row, column = read_as_the_page_does(value, int(x), y)
            assert abs(read - sigma_px[row, column]) <= value["step_px"] / 2 + 1e-6


def test_the_size_that_is_chosen_goes_to_the_server(photo):
    estimator = FakeEstimator(recommended_side=30)
    analysis = analyse(photo, estimator, 45)
    assert analysis.scale == 0.5 and analysis.largest_px == 14
    # A pixel of what the network saw is two of the photo's.
    assert analysis.figures["sharp_below_px"] == 2
    assert analyse(photo, estimator, 0).scale == 1
    assert analyse(photo, estimator, None).scale == pytest.approx(1 / 3)
    analyse(photo, plain := FakeEstimator(), None)
    assert (estimator.sides, plain.sides) == ([45, 0, 30], [page.DEFAULT_SIDE])


def test_what_counts_as_sharp_is_told_in_pixels_of_both(photo):
    """12.68 px of a photo are not called sharp because the network saw less than a pixel of it."""
    value = results.viewer_value(analyse(photo, max_side=45))
    assert (value["scale"], value["sharp_below_px"]) == (0.5, 2)
    assert "no blur that shows" in value["below"] and "sharp" not in value["below"]
    assert results.viewer_value(analyse(photo))["below"] == "sharp"
    said = words.summary_html(analyse(photo, max_side=45))
    assert "No visible blur" in said and "Sharp part" not in said
    assert "a blur below 2 px, which is 1 px of what the network saw" in said
    assert "Sharp part" in words.summary_html(analyse(photo))
    assert "a blur below 1 px</small>" in words.summary_html(analyse(photo))


def test_the_summary_is_of_the_whole_map_in_words(photo):
    said = words.summary_html(analyse(photo))
    sigma_px = FakeEstimator.known(60, 90)
    assert f"{np.mean(sigma_px < 1):.0%}" in said
    assert f"{np.median(sigma_px):.2f} px" in said
    assert "90 x 60 px" in said


def test_the_cut_out_keeps_what_is_sharp(photo):
    analysis = analyse(photo)
    alpha = results.cutout(analysis, "fixed", 3.0)[..., 3]
    assert alpha.shape == (60, 90)
    assert alpha[:, :30].min() == 255 and alpha[:, -20:].max() == 0
    less = results.cutout(analysis, "fixed", 2.0)[..., 3]
    assert less.mean() < alpha.mean()


def test_blur_grows_with_the_factor_and_1_changes_nothing():
    analysis = analyse(packaged_path("chelsea"))
    detail = [
        np.abs(np.diff(results.magnified(analysis, factor)[:, 150:].astype(float), axis=1))
        for factor in (1, 1.5, 3)
    ]
    assert detail[0].mean() > 1.1 * detail[1].mean() > 1.21 * detail[2].mean()
    assert np.array_equal(results.magnified(analysis, 1), analysis.photo)


def test_a_click_moves_the_focus():
    analysis = analyse(packaged_path("chelsea"))
    as_taken = results.magnified(analysis, 1)
    for x, y in ((20, 150), (430, 150)):  # on the sharp side of the map, on the blurred one
        picture = results.refocused(analysis, x, y, 2.5)
        assert picture.shape == as_taken.shape
        sharp, blurred = (
            np.abs(np.diff(picture[:, part].astype(float), axis=1)).mean()
            / np.abs(np.diff(as_taken[:, part].astype(float), axis=1)).mean()
            for part in (np.s_[10:60], np.s_[400:440])
        )
        assert (sharp > blurred) == (x == 20)


def test_the_map_is_there_to_keep_as_predict_writes_it(photo, tmp_path, monkeypatch):
    monkeypatch.setenv(results.TEMPORARY, str(tmp_path))
    files = results.files(analyse(photo))
    assert [Path(file).name for file in files] == [
        "photo.colour.png", "photo.sigma16.png", "photo.sigma.npy",
    ]  # fmt: skip
    assert all(tmp_path in Path(file).parents for file in files)
    known = FakeEstimator.known(60, 90)
    np.testing.assert_array_equal(np.load(files[2]), known)
    stored, metadata = read_map(files[1])
    np.testing.assert_allclose(stored, known, rtol=0, atol=metadata.sigma_max_px / 65535)


def test_colours_and_scale_are_those_of_the_maps_own_range(photo):
    value = results.viewer_value(analyse(photo))
    sigma_px = FakeEstimator.known(60, 90)
    assert (value["low_px"], value["high_px"]) == (sigma_px.min(), sigma_px.max())
    assert value["ticks"] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "controls, ends",
    [
        (("bone", "own", 7.0), (0, 6)),
        (("plasma", "7", 3.0), (0, 7)),
        (("magma", "given", 4.0), (0, 4)),
        (("inferno", "given", None), (0, 6)),  # no number yet
    ],
)
def test_colours_and_scale_are_those_that_are_chosen(photo, controls, ends):
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import chosen

    analysis, colours = analyse(photo), chosen(*controls)
    value = results.viewer_value(analysis, colours)
    assert (value["low_px"], value["high_px"]) == ends
    dark, bright = (bytes(colour).hex() for colour in colour_map([0.0, 1.0], controls[0]))
    assert (value["colours"][0], value["colours"][-1]) == (f"#{dark}", f"#{bright}")
    # The same in the picture, the overlay and the file.
    share = ColourRange(*ends).share(FakeEstimator.known(60, 90))
    np.testing.assert_array_equal(colours.draw(analysis), colour_map(share, controls[0]))
    np.testing.assert_array_equal(
        results.tinted(analysis, colours), overlay(analysis.photo, share, controls[0])
    )
    stored, _ = read_map(results.files(analysis, colours)[0])
    known = np.minimum(FakeEstimator.known(60, 90), ends[1])
    np.testing.assert_allclose(stored, known, rtol=0, atol=ends[1] * 0.51 / 240)


def test_other_colours_change_what_shows_them(photo):
    gradio = pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import MAGNIFIED, MAP, Actions

    actions, analysis = Actions(FakeEstimator(), page.DEFAULT_SIDE), analyse(photo)
    number, viewer, slider, _, files = actions.colour(analysis, MAP, "bone", "given", 4.0)
    assert number["visible"] and viewer["high_px"] == 4
    np.testing.assert_array_equal(slider[0], analysis.photo)
    assert files["visible"] is False and files["value"] is None  # they had other colours
    number, _, slider, *_ = actions.colour(analysis, MAGNIFIED, "bone", "own", 4.0)
    assert not number["visible"] and slider == gradio.skip()


def test_the_slider_lies_over_two_pictures_of_one_size(tmp_path):
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import DEBLURRED, MAGNIFIED, MAP, Actions

    path = tmp_path / "wide.png"
    noise = np.random.default_rng(0).integers(0, 256, (90, 900, 3), dtype=np.uint8)
    write_png(path, cv2.GaussianBlur(noise, None, 3))
    analysis = analyse(path)
    lens = results.magnified(analysis, 2.0)
    actions = Actions(FakeEstimator(), page.DEFAULT_SIDE)
    shown = {
        what: actions.compare(analysis, what, lens, *LOOK) for what in (MAP, MAGNIFIED, DEBLURRED)
    }
    for before, after in shown.values():
        assert before.shape == after.shape and before.dtype == after.dtype == np.uint8
    assert shown[MAP][0].shape == (90, 900, 3) and shown[MAGNIFIED][1] is lens
    # Deblurring adds contrast, and is done once a photo.
    before, after = (picture.astype(float) for picture in shown[DEBLURRED])
    assert after.std() > 1.1 * before.std()
    np.save(analysis.map_file.with_name("deblurred.npy"), lens)
    np.testing.assert_array_equal(results.deblurred(analysis), lens)


def test_examples_say_what_their_maps_do_not_tell(tmp_path):
    known = examples.examples()
    assert list(known)[:2] == ["chelsea", "strong_blur"] and "rocket" in known
    assert all(len(one.caption) <= 14 for one in known.values())  # the gallery cuts longer ones
    assert "is wrong" in examples.remark_on(known["rocket"].path)
    said = words.summary_html(analyse(known["strong_blur"].path), "5 < 6")
    assert said.startswith('<p class="dm-remark">5 &lt; 6</p>')
    assert examples.remark_on(tmp_path / "rocket.jpg") == ""
    assert "dm-remark" not in words.summary_html(analyse(known["chelsea"].path))


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, expected",
    [
        ("UNAVAILABLE", "server does not answer"),
        ("DEADLINE_EXCEEDED", "took too long"),
        ("INVALID_ARGUMENT", "refused this photo: why"),
    ],
)
def test_a_servers_error_is_told_in_plain_words(photo, code, expected):
    with pytest.raises(results.PageError, match=expected):
        analyse(photo, FakeEstimator(error=ServingError("why", code)))


def test_what_is_no_photo_is_refused_before_the_server_is_asked(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear reader")
    estimator = FakeEstimator()
    with pytest.raises(results.PageError, match="letter.jpg: must be a photo") as caught:
        analyse(path, estimator)
    assert str(tmp_path) not in str(caught.value) and estimator.sides == []


def test_a_photo_of_too_many_pixels_is_refused(photo, monkeypatch):
    monkeypatch.setattr(results, "MAX_PHOTO_PIXELS", 5000)
    with pytest.raises(results.PageError, match="at most 0.005 million pixels"):
        analyse(photo)


def test_what_is_worth_knowing_of_a_file_is_shown_without_markup(tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import Actions

    path = tmp_path / "<b>.tif"
    picture = Image.new("RGB", (90, 60))
    picture.save(path, save_all=True, append_images=[picture])
    (line,) = analyse(path).notes
    assert line.startswith("<b>.tif: ") and "page" in line
    shown = []
    monkeypatch.setattr(gradio, "Warning", lambda text, **_: shown.append(text))
    Actions(FakeEstimator(), page.DEFAULT_SIDE).open(path, "0", "otsu", 2.0, *LOOK)
    assert len(shown) == 1 and shown[0].startswith("&lt;b&gt;.tif: ")


def test_an_error_on_the_page_holds_no_markup():
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import error_message

    assert error_message("<img src=x>.jpg").message == "&lt;img src=x&gt;.jpg"


def test_the_sizes_to_choose_from_are_sizes_of_the_estimator(photo):
    pytest.importorskip("gradio", reason="needs the extra demo")
    from serving.web.actions import FULL, RECOMMENDED, Actions

    estimator = FakeEstimator(recommended_side=30)
    actions = Actions(estimator, page.DEFAULT_SIDE)
    for side in (RECOMMENDED, "45", FULL):
        analysis, *_ = actions.open(str(photo), side, "otsu", 2.0, *LOOK)
        assert analysis.photo_width == 90
    assert estimator.sides == [30, 45, 0]
    for chosen, shown in ((None, RECOMMENDED), (45, "45"), (0, FULL)):
        built = page.build(estimator, chosen)
        (control,) = [b for b in built.blocks.values() if getattr(b, "label", "") == "Max side"]
        assert control.value == shown and shown in {value for _, value in control.choices}

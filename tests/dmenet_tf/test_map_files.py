"""Maps in files: each format is read back, carries its unit, and hides nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_gen.io.errors import DataFileError
from dmenet_tf.prediction.map_files import Metadata, colour_range, read_map, write_map
from dmenet_tf.prediction.summaries import SUFFIXES, measure
from dmenet_tf.visualization import COLOUR_MAPS, ColourRange, colour_map, overlay, side_by_side

RNG = np.random.default_rng(0)
METADATA = Metadata("0123456789ab", "released", version="1.2", licence="theirs")
REDUCED = replace(METADATA, sigma_max_px=28.0)


def some_map(top=7.0, size=(20, 30)):
    sigma_px = RNG.uniform(0, top, size).astype(np.float32)
    sigma_px[0, 0], sigma_px[0, 1] = 0, top
    return sigma_px


def some_photo(dtype=np.uint8, size=(20, 30)):
    values = RNG.random((*size, 3), np.float32)
    return values if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


def test_a_colour_map_is_read_back_through_its_own_range(tmp_path):
    path = tmp_path / f"a{SUFFIXES['colour']}"
    sigma_px = RNG.uniform(3, 5, (90, 120)).astype(np.float32)
    write_map(path, "colour", sigma_px, METADATA)
    with Image.open(path) as opened:
        assert opened.size[1] == 90 and opened.size[0] > 130  # a scale is beside the map
    back, _ = read_map(path)
    assert back.shape == sigma_px.shape
    assert np.abs(back - sigma_px).max() <= np.ptp(sigma_px) * 0.5 / 240 * 1.02
    # A range that is given: what lies beyond takes the end's colour.
    write_map(path, "colour", sigma_px, METADATA, colours=ColourRange(0.0, 4.0))
    back, _ = read_map(path)
    assert np.abs(back - np.minimum(sigma_px, 4)).max() <= 4 * 0.5 / 240 * 1.02


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colours_of_any_name_are_read_back(tmp_path, name):
    path = tmp_path / "a.colour.png"
    sigma_px = RNG.uniform(0, 7, (90, 120)).astype(np.float32)
    write_map(path, "colour", sigma_px, METADATA, colours=ColourRange(0.0, 7.0), name=name)
    assert np.abs(read_map(path)[0] - sigma_px).max() <= 7 * 0.5 / 240 * 1.02
    with Image.open(path) as opened:
        shown = np.asarray(opened.convert("RGB")).astype(int)
    assert np.abs(shown[:, :120] - colour_map(sigma_px / 7, name)).max() <= 8


def test_a_colour_map_shows_its_colours_and_is_small(tmp_path):
    path = tmp_path / "a.colour.png"
    sigma_px = np.tile(np.linspace(0, 7, 400, dtype=np.float32), (300, 1))
    write_map(path, "colour", sigma_px, METADATA)
    with Image.open(path) as opened:
        assert opened.mode == "P"
        shown = np.asarray(opened.convert("RGB")).astype(int)
    # Steps of 7 / 240 px: neighbouring entries of 256 colours, at most.
    assert np.abs(shown[:, :400] - colour_map(sigma_px / 7)).max() <= 8
    # The scale: letters in black on white, and beside the bar no colours.
    assert (shown[:2, 410:] == shown[:2, 410:, :1]).all() and (shown[-1, 410:] == 255).all()
    assert (shown[:, 400:] == [0, 0, 0]).all(-1).any()
    side = tmp_path / "a.side.png"
    write_map(side, "side", sigma_px, METADATA, some_photo(size=(300, 400)))
    assert path.stat().st_size < side.stat().st_size


def test_a_colour_map_of_an_older_version_is_read(tmp_path):
    """Without a scale beside it, in colours of 0 .. sigma_max_px."""
    text = PngInfo()
    text.add_text("DMENet", METADATA.to_json())
    Image.fromarray(colour_map([[0.25, 0.5]])).save(tmp_path / "a.colour.png", pnginfo=text)
    back, _ = read_map(tmp_path / "a.colour.png")
    assert back == pytest.approx(np.array([[1.75, 3.5]]), abs=7 / 256)


def test_a_range_of_colours_is_auto_or_pixels():
    assert colour_range("auto") is None and colour_range("7") == (0, 7)
    for text in ("0", "-1", "inf", "nan", "all"):
        with pytest.raises(ValueError, match=f"received '{text}'"):
            colour_range(text)


@pytest.mark.parametrize("metadata", [METADATA, REDUCED])
@pytest.mark.parametrize(
    # Half a step of the form's scale, relative to the scale's end.
    "form, bound",
    [("npy", 0), ("tiff", 0), ("png16", 0.5 / 65535), ("colour", 0.5 / 240)],
)
def test_round_trip(tmp_path, form, bound, metadata):
    top = metadata.sigma_max_px
    sigma_px = some_map(top)
    path = tmp_path / f"a.jpg{SUFFIXES[form]}"
    write_map(path, form, sigma_px, metadata)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    back, read = read_map(path)
    assert back.dtype == np.float32 and back.shape == sigma_px.shape
    assert np.abs(back - sigma_px).max() <= bound * top * 1.02  # float32 rounds too
    assert read == (None if form == "npy" else metadata)


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (90, 120)])
def test_every_form_of_every_size_says_what_it_is(tmp_path, form, size):
    path = tmp_path / f"a{SUFFIXES[form]}"
    write_map(path, form, some_map(size=size) if size > (1, 1) else np.ones(size, np.float32),
              METADATA, some_photo(size=size))  # fmt: skip
    if form == "npy":  # has no place for metadata
        return
    with Image.open(path) as image:
        text = image.tag_v2[270] if form == "tiff" else image.text["DMENet"]
        software = image.tag_v2[305] if form == "tiff" else image.text["Software"]
    assert json.loads(text) == METADATA.as_dict()
    assert "sigma_px" in text and "pixels of the photo" in text
    assert software == "DMENet-TF 1.2"


def test_what_must_not_be_hidden_is_not_written(tmp_path):
    for value in (np.nan, np.inf, -0.1, 7.1):
        sigma_px = some_map()
        sigma_px[3, 3] = value
        for form in SUFFIXES:
            with pytest.raises(ValueError, match=r"sigma_px must lie in \[0, 7\]; received"):
                write_map(tmp_path / "a", form, sigma_px, METADATA, some_photo())
    with pytest.raises(ValueError, match="the format of a map is one of colour, .* received 'jpg'"):
        write_map(tmp_path / "a", "jpg", some_map(), METADATA)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # the truncated TIFF
def test_files_that_hold_no_map_are_refused(tmp_path):
    paths = {form: tmp_path / f"a{suffix}" for form, suffix in SUFFIXES.items()}
    for form, path in paths.items():
        write_map(path, form, some_map(), METADATA, some_photo())
    for form in ("overlay", "side"):
        with pytest.raises(DataFileError, match="read from another format"):
            read_map(paths[form])
    for form in ("colour", "png16", "tiff", "npy"):
        whole = paths[form].read_bytes()
        for share in (0, 0.5):
            paths[form].write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(DataFileError, match=f"{paths[form].name}: .*must"):
                read_map(paths[form])
    # Saved again by a program that drops the metadata: the scale is lost, and with it the unit.
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "bare.png")
    with pytest.raises(DataFileError, match="must carry its scale"):
        read_map(tmp_path / "bare.png")
    np.save(tmp_path / "ints.npy", np.zeros((4, 4), int))
    with pytest.raises(DataFileError, match=r"\[H, W\] of float32; received int64 \[4, 4\]"):
        read_map(tmp_path / "ints.npy")
    with pytest.raises(DataFileError, match="must exist"):
        read_map(tmp_path / "nothing.npy")


def test_pictures_show_photo_and_map_in_their_places():
    share = RNG.random((90, 120), np.float32)
    share[:10] = 0
    for dtype in (np.uint8, np.uint16, np.float32):
        image = some_photo(dtype, (90, 120))
        shown = image if dtype == np.uint8 else image / (65535 if dtype == np.uint16 else 1) * 255
        side = side_by_side(image, 7 * share, ColourRange(0.0, 7.0))
        assert side.dtype == np.uint8 and side.shape[0] == 90
        assert np.abs(side[:, :120] - shown.astype(float)).max() <= 1
        drawn = side[:, 128:248].astype(int)
        assert np.abs(drawn - colour_map(share)).max() <= 8  # 7 * share / 7 rounds
        laid_over = overlay(image, share)
        assert laid_over.shape == (90, 120, 3)
        # Where it is sharp, the photo's own grey is left.
        weights = [0.299, 0.587, 0.114]
        grey = (shown[:10].astype(float) * weights).sum(-1)
        assert np.abs(laid_over[:10] - grey[..., None]).max() <= 2


def test_figures_of_a_map():
    """By hand: 100 pixels, 15 of 0.5 px, 45 of 2 px, 40 of 7 px."""
    sigma_px = np.repeat(np.float32([0.5, 2, 7]), [15, 45, 40]).reshape(10, 10)
    figures = measure(sigma_px, 1.0)
    assert figures["share_sharp"] == 0.15 and figures["sharp_below_px"] == 1.0
    assert figures["median_sigma_px"] == 2.0
    assert figures["sharpest_sigma_px"] == 0.5  # as 15 of the 100 pixels have
    # 5 of 0.5 px are less than a tenth.
    sigma_px = np.repeat(np.float32([0.5, 2, 7]), [5, 55, 40]).reshape(10, 10)
    assert measure(sigma_px, 1.0)["sharpest_sigma_px"] == 2.0


@given(
    sigma_px=arrays(np.float32, (6, 8), elements=st.floats(0, 7, width=32)),
    limit_px=st.floats(0.1, 7),
    scale=st.sampled_from([0.25, 2.0]),
)
def test_figures_follow_the_pixel_they_are_measured_in(sigma_px, limit_px, scale):
    figures, scaled = measure(sigma_px, limit_px), measure(sigma_px * scale, limit_px * scale)
    assert 0 <= figures["share_sharp"] <= 1
    assert figures["sharpest_sigma_px"] <= figures["median_sigma_px"] <= sigma_px.max()
    assert scaled["share_sharp"] == figures["share_sharp"]
    for name in ("sharpest_sigma_px", "median_sigma_px"):
        assert scaled[name] == pytest.approx(scale * figures[name], rel=1e-6)
    assert measure(sigma_px.T, limit_px) == figures

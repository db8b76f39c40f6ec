"""Masks as people store them: each has two classes, wherever in the file they are."""

import cv2
import numpy as np
import pytest
from PIL import Image

from data_gen.io.errors import DataFileError
from data_gen.io.images import write_png
from dmenet_tf.data.mask_files import read_mask

HIGH = np.zeros((40, 60), bool)
HIGH[:, 35:] = True


def two(low, high, dtype=np.uint8):
    return np.where(HIGH, high, low).astype(dtype)


def palette(indices, *colours):
    image = Image.fromarray(indices, "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def over(colour, alpha):
    return Image.fromarray(np.dstack([np.full((40, 60, 3), colour, np.uint8), alpha]))


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (200, 0, 0)
STORED = {
    "0 and 255": Image.fromarray(two(0, 255)),
    "0 and 2": Image.fromarray(two(0, 2)),
    "0 and 1": Image.fromarray(two(0, 1)),
    "0 and 100": Image.fromarray(two(0, 100)),
    "100 and 255": Image.fromarray(two(100, 255)),
    "1 and 2": Image.fromarray(two(1, 2)),
    "one bit": Image.fromarray(HIGH),
    "16 bits, 0 and 1": Image.fromarray(two(0, 1, np.uint16)),
    "16 bits": Image.fromarray(two(0, 65535, np.uint16)),
    "indices of red": palette(two(0, 1), RED, RED),
    "indices of black and red": palette(two(0, 1), BLACK, RED),
    "indices of white and red": palette(two(0, 1), WHITE, RED),
    "a grey palette the other way round": palette(two(1, 0), WHITE, BLACK),
    "alpha over white": over(WHITE, two(0, 255)),
    "alpha over black": over(BLACK, two(0, 255)),
    "alpha over grey, 0 and 1": over((90, 90, 90), two(0, 1)),
    "grey with alpha": Image.fromarray(np.dstack([np.full_like(HIGH, 255, np.uint8), two(0, 255)])),
    "grey, opaque": Image.fromarray(np.dstack([two(0, 255), np.full((40, 60), 255, np.uint8)])),
    "black and red": Image.fromarray(two(0, 200)[..., None] * np.uint8([1, 0, 0])),
    "three equal channels": Image.fromarray(np.dstack([two(0, 1)] * 3)),
}


@pytest.mark.parametrize("title", STORED)
def test_two_classes_are_found_wherever_they_are(tmp_path, title):
    path = tmp_path / "mask.png"
    STORED[title].save(path)
    np.testing.assert_array_equal(read_mask(path).is_high(), HIGH)


def test_16_bit_colours_and_floats(tmp_path):
    write_png(tmp_path / "deep.png", np.dstack([two(0, 1, np.uint16)] * 3))
    cv2.imwrite(str(tmp_path / "float.tiff"), two(0, 1, np.float32))
    for name in ("deep.png", "float.tiff"):
        np.testing.assert_array_equal(read_mask(tmp_path / name).is_high(), HIGH)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_noise_around_two_values(tmp_path, quality):
    """A disc: its rim crosses blocks at every angle. As JPEG, and stored as PNG afterwards."""
    mask = cv2.circle(np.zeros((120, 160), np.uint8), (70, 60), 40, 255, -1)
    Image.fromarray(mask).save(tmp_path / "a.jpg", quality=quality)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        # Rounding moves the rim by less than a pixel, of some 250 that it is long.
        assert (read_mask(tmp_path / name).is_high() != (mask > 0)).sum() < 125, name
    Image.fromarray(mask).convert("RGB").save(tmp_path / "rgb.jpg", quality=quality)
    assert (read_mask(tmp_path / "rgb.jpg").is_high() != (mask > 0)).sum() < 125


def test_an_antialiased_outline_is_no_third_class(tmp_path):
    mask = cv2.circle(np.zeros((120, 160), np.uint8), (70, 60), 40, 255, -1)
    small = cv2.resize(mask, (80, 60), interpolation=cv2.INTER_AREA)
    assert 2 < len(np.unique(small)) <= 16
    Image.fromarray(small).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").is_high(), small > 127)


def with_band(values, width):
    """Three values; the one in the middle fills a band."""
    low, middle, high = values
    stored = two(low, high)
    stored[:, 30 : 30 + width] = middle
    return stored


@pytest.mark.parametrize("values", [(0, 128, 255), (0, 1, 255), (0, 1, 2), (0, 100, 255)])
def test_three_classes_are_refused_with_file_and_values(tmp_path, values):
    Image.fromarray(with_band(values, 12)).save(tmp_path / "trimap.png")
    listed = rf"received 3: {values[0]} \(50%\), {values[1]} \(20%\), {values[2]} \(30%\)"
    with pytest.raises(DataFileError, match=rf"trimap.png: a mask must hold two values.*{listed}"):
        read_mask(tmp_path / "trimap.png")


def test_a_narrow_region_counts_though_its_share_is_small(tmp_path):
    stored = np.zeros((200, 300), np.uint8)
    stored[:, 150:], stored[50:70, 100:120] = 255, 128  # 400 of 60,000 pixels: 0.7 %
    Image.fromarray(stored).save(tmp_path / "a.png")
    with pytest.raises(DataFileError, match=r"received 3: .*128 \(1%\)"):
        read_mask(tmp_path / "a.png")


def test_maps_of_probabilities_photos_and_equally_light_colours_are_refused(tmp_path):
    ramp = np.linspace(0, 255, 2400).reshape(40, 60).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    # Lightness 0.299 R + 0.587 G + 0.114 B: 200 of red and 102 of green are both 60.
    colours = np.where(HIGH[..., None], np.uint8([200, 0, 0]), np.uint8([0, 102, 0]))
    for name, stored in (("ramp", ramp), ("photo", noise), ("colours", colours)):
        Image.fromarray(stored).save(tmp_path / f"{name}.png")
        with pytest.raises(DataFileError, match=rf"{name}.png: a mask must hold two values"):
            read_mask(tmp_path / f"{name}.png")


@pytest.mark.parametrize("level", [0, 255])
def test_a_whole_class_speaks_for_itself(tmp_path, level):
    noise = np.random.default_rng(0).integers(0, 4, (40, 60)).astype(np.uint8)
    for name, stored in (
        ("a.png", noise * 0 + level),
        ("b.jpg", noise if level == 0 else level - noise),
    ):
        Image.fromarray(stored).save(tmp_path / name, quality=95)
        assert (read_mask(tmp_path / name).is_high() == bool(level)).all()


def test_black_and_opaque_is_what_the_collection_says(tmp_path):
    """As a colour it is the lower class, as alpha the upper one."""
    over(BLACK, np.full((40, 60), 255, np.uint8)).save(tmp_path / "opaque.png")
    STORED["alpha over black"].save(tmp_path / "alpha.png")
    STORED["0 and 255"].save(tmp_path / "grey.png")
    opaque = read_mask(tmp_path / "opaque.png")
    assert opaque.is_high(lambda: read_mask(tmp_path / "alpha.png")).all()
    assert not opaque.is_high(lambda: read_mask(tmp_path / "grey.png")).any()


def test_a_broken_mask_is_named(tmp_path):
    STORED["0 and 255"].save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(DataFileError, match="a.png: must be a complete"):
        read_mask(tmp_path / "a.png")

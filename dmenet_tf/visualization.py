"""Maps as pictures: colours with their scale, overlays, photo and map side by side, panels.

`sigma_px` is [H, W] float32 in pixels; a `ColourRange` holds the sigma at the two ends of the
colours. Panels show images RGB in [0, 1], [B, H, W, 3], and maps [B, H, W] or [B, H, W, 1] of
`defocus` in [0, 1], whose range is fixed so that colours compare between steps and runs.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from data_gen import optics
from data_gen.io.atomic import write_atomic
from data_gen.io.pixels import to_uint8

# To choose from, by Matplotlib's names: dark to bright, even to the eye, and different at each of
# `COLOUR_STEPS` steps, so that files are read back. NaN gets a colour that is in none of them: it
# must not pass for sharp.
INFERNO = "inferno"
COLOUR_MAPS = {
    name: matplotlib.colormaps[name].with_extremes(bad="cyan")
    for name in (INFERNO, "magma", "plasma", "bone")
}
COLOURS = COLOUR_MAPS[INFERNO]


def colour_map(share, name: str = INFERNO) -> np.ndarray:
    """Values of any shape -> uint8 RGB, [..., 3]: 0 black (sharp) to 1 bright yellow.

    name: of `COLOUR_MAPS`. Values beyond [0, 1] take the end's colour, and NaN is cyan.
    """
    # Of a single number, Matplotlib would return a tuple.
    return COLOUR_MAPS[name](np.asarray(share, np.float32)[None], bytes=True)[0, ..., :3]


# A map alone is written as indices into a palette, in a third of the time and bytes of RGB. Beside
# the colours, the palette has greys from black to white, for the letters of the scale.
COLOUR_STEPS, GREY_STEPS = 240, 16


def palette(name: str = INFERNO) -> np.ndarray:
    """The colours of `indexed`, and the greys: uint8 [COLOUR_STEPS + GREY_STEPS, 3]."""
    colours = colour_map((np.arange(COLOUR_STEPS) + 0.5) / COLOUR_STEPS, name)
    greys = np.rint(np.linspace(0, 255, GREY_STEPS)).astype(np.uint8)
    return np.concatenate([colours, np.repeat(greys[:, None], 3, axis=1)])


def indexed(share: np.ndarray) -> np.ndarray:
    """Finite values -> indices of colours in `palette`, uint8; values beyond [0, 1] are clipped."""
    return np.clip(share * np.float32(COLOUR_STEPS), 0, COLOUR_STEPS - 1).astype(np.uint8)


# --- the range of the colours ----------------------------------------------------------------

# In pixels that the network sees, of which it tells 0 .. 7. The bright end is at least the first,
# so that a photo that is sharp all over looks dark. A map that varies by less than the second must
# look flat: stretched to all colours, its noise would look like a subject.
BRIGHT_MIN_PX, SPAN_MIN_PX = 2.0, 1.0


class ColourRange(NamedTuple):
    """The sigma, in pixels, at the black and at the bright yellow end."""

    low_px: float
    high_px: float

    def share(self, sigma_px: np.ndarray) -> np.ndarray:
        """Where sigma lies between the ends: 0 .. 1, and beyond where it is outside."""
        return (sigma_px - np.float32(self.low_px)) / np.float32(self.high_px - self.low_px)


def own_range(sigma_px: np.ndarray, sigma_max_px: float = optics.SIGMA_MAX_PX) -> ColourRange:
    """From the smallest to the largest sigma of a map, but for the two limits above.

    sigma_max_px: the sigma in pixels of the photo that is 7 px of what the network saw.
    """
    seen_px = sigma_max_px / optics.SIGMA_MAX_PX
    high_px = max(float(sigma_px.max()), BRIGHT_MIN_PX * seen_px)
    return ColourRange(min(float(sigma_px.min()), high_px - SPAN_MIN_PX * seen_px), high_px)


def ticks(low: float, high: float, count: int = 8) -> list[float]:
    """Round numbers in [low, high], low < high: at most `count` + 1, at steps of 1, 2 or 5 times a
    power of ten. An end that misses one by a hundredth of a step has it too."""
    step = 10.0 ** np.floor(np.log10((high - low) / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if step * factor * count >= high - low)
    first, last = np.ceil(low / step - 0.01), np.floor(high / step + 0.01)
    return [float(f"{number * step:.6g}") + 0.0 for number in np.arange(first, last + 1)]  # no -0


# --- pictures of one map -----------------------------------------------------------------------

TINT = 0.8
GAP_PX = 8
SIDE_MAX_WIDTH_PX = 2000
SCALE_MIN_HEIGHT_PX = 64  # below, its numbers could not be read
UNIT = ("sigma", "in px")


def overlay(image: np.ndarray, share: np.ndarray, name: str = INFERNO) -> np.ndarray:
    """The photo in grey, tinted with the map's colours the more it is blurred: uint8 [H, W, 3]."""
    light = cv2.cvtColor(cv2.cvtColor(to_uint8(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # Black, the colour of sharp pixels, would only hide them.
    opacity = TINT * np.sqrt(np.clip(share, 0.0, 1.0)).astype(np.float32)
    return cv2.blendLinear(light, colour_map(share, name), 1 - opacity, opacity)


def side_by_side(image: np.ndarray, sigma_px: np.ndarray, colours: ColourRange) -> np.ndarray:
    """Photo, map and scale, reduced to a width of `SIDE_MAX_WIDTH_PX`: uint8 [h, w, 3]."""
    height, width = sigma_px.shape
    # Room for the scale of a picture that would fill the width without one, which is the higher.
    highest = round(height * min(1.0, SIDE_MAX_WIDTH_PX / (2 * width)))
    reduction = (SIDE_MAX_WIDTH_PX - 2 * GAP_PX - _scale_width(highest)) / (2 * width)
    if reduction < 1:
        size = max(1, int(width * reduction)), max(1, int(height * reduction))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        sigma_px = cv2.resize(sigma_px, size, interpolation=cv2.INTER_AREA)
    gap = np.full((len(sigma_px), GAP_PX, 3), 255, np.uint8)
    picture = np.concatenate([to_uint8(image), gap, colour_map(colours.share(sigma_px))], axis=1)
    return with_scale(picture, colours)


def with_scale(picture: np.ndarray, colours: ColourRange) -> np.ndarray:
    """A picture with the scale of its colours to its right, where it is high enough for one.

    picture: RGB uint8 [H, W, 3], or indices of `palette` uint8 [H, W]. It keeps its place and its
    pixels; the result is [H, W + gap + scale, ...].
    """
    height = len(picture)
    if height < SCALE_MIN_HEIGHT_PX:
        return picture
    grey, (top, bottom, width) = _scale(height, colours)
    bar = np.linspace(1.0, 0.0, bottom - top, dtype=np.float32)[:, None]
    if picture.ndim == 2:
        scale = COLOUR_STEPS + np.rint(grey / (255 / (GREY_STEPS - 1))).astype(np.uint8)
        scale[top:bottom, :width] = indexed(bar)
    else:
        scale = np.repeat(grey[..., None], 3, axis=-1)
        scale[top:bottom, :width] = colour_map(bar)
    gap = np.full((height, GAP_PX, *picture.shape[2:]), 255, np.uint8)  # white in either form
    return np.concatenate([picture, gap, scale], axis=1)


def _letters(height: int) -> int:
    """Size of a scale's letters, in pixels."""
    return int(np.clip(height / 28, 11, 80))


def _scale_width(height: int) -> int:
    return 0 if height < SCALE_MIN_HEIGHT_PX else 4 * _letters(height)


def _scale(height: int, colours: ColourRange) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Ticks and unit in black on white, uint8 [height, w], and the place of the bar of colours, the
    largest sigma on top: its first row, the row below its last, its width from the left."""
    letters = _letters(height)
    font = ImageFont.load_default(letters)
    line = max(1, letters // 12)
    picture = Image.new("L", (_scale_width(height), height), "white")
    draw = ImageDraw.Draw(picture)
    # The unit is above the bar, and no number at its ends is cut off.
    top, bottom = round(1.25 * letters * len(UNIT) + 0.75 * letters), height - letters
    for row, word in enumerate(UNIT):
        draw.text((0, round(1.25 * letters * row)), word, "black", font)
    count = max(1, min(8, (bottom - top) // (2 * letters)))
    for value in ticks(*colours, count):
        row = bottom - 1 - round(float(colours.share(value)) * (bottom - top - 1))
        draw.line((letters, row, round(1.4 * letters), row), "black", line)
        draw.text((round(1.6 * letters), row), f"{value:g}", "black", font, anchor="lm")
    return np.array(picture), (top, bottom, letters)


# --- panels of several examples ----------------------------------------------------------------

CELL_GAP_PX = 4
CELL_MIN_WIDTH_PX = 120  # smaller pictures are enlarged: a heading needs room
_LETTERS_IN_A_CELL = 8  # TensorBoard reduces a panel to some 330 px, where letters are to be read


def panel(image, predicted, truth=None, sharpness=None) -> np.ndarray:
    """A row per example, columns input, prediction, and truth and S's output where given.

    `sharpness` is S's output as a probability of blur, shown in grey, white = blurred. Each pixel
    becomes k x k, the least k by which W reaches CELL_MIN_WIDTH_PX. To the right is the scale of
    the colours, sigma of 0 .. 7 px. Returns uint8 RGB, [heading + B * (k * H + CELL_GAP_PX),
    columns * (k * W + CELL_GAP_PX) + scale, 3], and white below where that is lower than a scale.
    """
    columns = []
    for title, pictures in _columns(image, predicted, truth, sharpness).items():
        times = -(-CELL_MIN_WIDTH_PX // pictures.shape[2])
        pictures = pictures.repeat(times, axis=1).repeat(times, axis=2)
        gap = (0, CELL_GAP_PX)
        pictures = np.pad(pictures, ((0, 0), gap, gap, (0, 0)), constant_values=255)
        columns.append(np.concatenate([_heading(title, pictures.shape[2]), *pictures]))
    picture = np.concatenate(columns, axis=1)
    missing = max(0, SCALE_MIN_HEIGHT_PX - len(picture))
    picture = np.pad(picture, ((0, missing), (0, 0), (0, 0)), constant_values=255)
    return with_scale(picture, ColourRange(0.0, optics.SIGMA_MAX_PX))


def _heading(title: str, width: int) -> np.ndarray:
    """The first word above the rest, white on black: uint8 [h, width, 3], h by the width alone."""
    letters = width // _LETTERS_IN_A_CELL
    picture = Image.new("RGB", (width, round(2.9 * letters)))
    font, lines = ImageFont.load_default(letters), title.replace(" ", "\n", 1)
    ImageDraw.Draw(picture).multiline_text((letters // 4, 0), lines, "white", font, spacing=1)
    return np.asarray(picture)


def save_panel(path, image, predicted, truth=None) -> None:
    """Writes a labelled PNG: rows of examples, the colour bar in `defocus` and `sigma_px`."""
    columns = _columns(image, predicted, truth)
    rows, (height, width) = len(columns["input"]), columns["input"].shape[1:3]
    size = (2.6 * len(columns) + 1.8, 2.6 * rows * height / width + 0.4)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(title)
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
    mappable = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0.0, 1.0), COLOURS)
    bar = figure.colorbar(mappable, ax=axes, ticks=np.linspace(0.0, 1.0, 6))
    bar.ax.yaxis.set_ticks_position("left")
    bar.ax.yaxis.set_label_position("left")
    bar.set_label("defocus (0 = sharp)")
    units = (optics.defocus_to_sigma, optics.sigma_to_defocus)
    bar.ax.secondary_yaxis("right", functions=units).set_ylabel("sigma (px)")
    write_atomic(Path(path), lambda temporary: figure.savefig(temporary, format="png"))


def _columns(image, predicted, truth=None, sharpness=None) -> dict[str, np.ndarray]:
    """{title: uint8 RGB [B, H, W, 3]}, all of the input's size."""
    image = np.asarray(image, np.float32)
    if image.ndim != 4 or image.shape[-1] != 3:
        raise ValueError(f"`image` is [B, H, W, 3]; received {image.shape}")
    columns = {"input": to_uint8(image)}
    columns["predicted defocus"] = colour_map(_map_like(image, "predicted", predicted))
    if truth is not None:
        columns["true defocus"] = colour_map(_map_like(image, "truth", truth))
    if sharpness is not None:
        grey = to_uint8(_map_like(image, "sharpness", sharpness))
        columns["S: P(blurred)"] = np.repeat(grey[..., None], 3, axis=-1)
    return columns


def _map_like(image: np.ndarray, name: str, values) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if values.shape not in (image.shape[:-1], image.shape[:-1] + (1,)):
        raise ValueError(
            f"`{name}` is [B, H, W] or [B, H, W, 1] of the image's size, {image.shape[:-1]}; "
            f"received {values.shape}"
        )
    return values.reshape(image.shape[:-1])

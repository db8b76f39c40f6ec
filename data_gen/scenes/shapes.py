"""Flat outlines for procedural scenes: cards, blobs, leaves, glyphs, photo segments, thin lines.

A `Shape` lives in unit coordinates (x to the right, y down), within [-1, 1] on both axes. It is
filled contours (even-odd, so an inner contour is a hole) and strokes. Real outlines come from
installed packages: segments of photographs with their own pixels, a horse's silhouette, and the
letters and pictograms of matplotlib's DejaVu Sans.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from skimage.segmentation import felzenszwalb

from data_gen.scenes.photographs import load_texture_photographs, read_packaged_image

# Present in DejaVu Sans; the pictograms have outlines of natural complexity.
_GLYPHS = (
    "ABCDEFGHKLMNOPQRSTUVWXYZ0123456789abdeghkmqrstwy&@#?%$"
    "♔♚♛♜♝♞♟♠♣♥★☂☎✈✂❄✿❀☘⚓⚙☀☁♻☃☠♫✌☕☗⚘❦❧➳✺❃❋☄♿⚑⚔⚖⚛❤⚐☤♆"
)
_CUTOUT_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "coins")


class Shape(NamedTuple):
    """contours: list of float [N, 2]; strokes: list of (float [N, 2], width), all unit sized."""

    contours: list
    strokes: list


class PhotoSegment(NamedTuple):
    """A segment cut out of a photograph.

    pixels: uint8 [h, w, 3], sharp at pixel level; shape: its outline, where the unit square is
    centred on the patch and 1 is `radius_px` pixels of the patch.
    """

    pixels: np.ndarray
    shape: Shape
    radius_px: float


def random_shape(rng):
    """A filled shape: half of them rectangles, ellipses, polygons and blobs, half real outlines."""
    kind = rng.choice(6, p=(0.25, 0.08, 0.12, 0.15, 0.1, 0.3))
    if kind == 0:
        aspect = rng.uniform(0.3, 1.0)
        return Shape([_CORNERS * (1.0, aspect)], [])
    if kind == 1:
        return Shape([_polar(np.ones(48)) * (1.0, rng.uniform(0.4, 1.0))], [])
    if kind == 2:
        return Shape([_polar(rng.uniform(0.25, 1.0, rng.integers(3, 10)), rng.uniform(0, 6.3))], [])
    if kind == 3:
        return Shape([_blob(rng)], [])
    if kind == 4:
        return leaf_shape(rng)
    outlines = real_outlines()
    return outlines[rng.integers(len(outlines))]


def leaf_shape(rng):
    """Two arcs that meet in a tip at both ends."""
    x = np.linspace(-1.0, 1.0, 16)
    belly = rng.uniform(0.15, 0.45) * (1.0 - x**2) * np.exp(rng.uniform(-0.8, 0.8) * x)
    upper, lower = np.stack([x, belly], 1), np.stack([x, -belly], 1)[::-1]
    return Shape([np.clip(np.concatenate([upper, lower]), -1, 1)], [])


def random_strokes(rng):
    """A thin structure: wires, parallel poles, a fence, a branching twig or rings."""
    kind = rng.integers(5)
    width = rng.uniform(0.008, 0.045)
    if kind == 0:
        return Shape([], [(_wire(rng), width) for _ in range(rng.integers(1, 5))])
    if kind == 1:
        at = np.sort(rng.uniform(-0.95, 0.95, rng.integers(1, 6)))
        return Shape([], [(np.array([(x, -1.0), (x, 1.0)]), 2 * width) for x in at])
    if kind == 2:
        across, along = np.linspace(-0.95, 0.95, rng.integers(4, 12)), rng.integers(0, 12)
        bars = [np.array([(x, -0.95), (x, 0.95)]) for x in across]
        bars += [np.array([(-0.95, y), (0.95, y)]) for y in np.linspace(-0.95, 0.95, along)]
        return Shape([], [(bar, 0.5 * width) for bar in bars])
    if kind == 3:
        return Shape([], _twig(rng, np.array((0.0, 0.95)), -np.pi / 2, 0.7, 0.07, depth=4))
    rings = []
    for _ in range(rng.integers(1, 4)):
        center, radius = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.15, 0.45)
        rings.append((center + radius * _polar(np.ones(40), closed=True), width))
    return Shape([], rings)


@functools.cache
def glyph_outlines():
    """Every glyph of `_GLYPHS` as a `Shape`, a tuple. Raises FileNotFoundError without the font."""
    font_file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    if not font_file.is_file():
        raise FileNotFoundError(f"matplotlib must carry its font; received no {font_file}")
    font = FontProperties(fname=str(font_file))
    paths = (TextPath((0, 0), glyph, size=100, prop=font) for glyph in _GLYPHS)
    return tuple(
        unit_shape([contour * (1, -1) for contour in path.to_polygons() if len(contour) > 2])
        for path in paths
    )


@functools.cache
def real_outlines():
    """Outlines of things: glyphs, photo segments, and the silhouette of a horse. A tuple."""
    outlines = [*glyph_outlines(), *(segment.shape for segment in photo_segments())]
    horse = read_packaged_image("horse.png")
    if horse is not None:
        # The silhouette is black. Repeated, to be met as often as a tenth of the outlines.
        outlines += [unit_shape(_contours(horse[..., 0] < 128))] * (len(outlines) // 10)
    return tuple(outlines)


@functools.cache
def photo_segments():
    """Segments of photographs (Felzenszwalb and Huttenlocher, IJCV 2004), a tuple."""
    photographs = load_texture_photographs()
    segments = []
    for name in (name for name in _CUTOUT_PHOTOGRAPHS if name in photographs):
        photograph = photographs[name]
        for scale in (80, 300):
            labels = felzenszwalb(photograph, scale=scale, sigma=0.6, min_size=200)
            for label in np.unique(labels):
                segments += _segment(photograph, labels == label)
    return tuple(segments)


def unit_shape(contours):
    """Contours in any units -> a `Shape` centred on their bounding box and filling [-1, 1]."""
    points = np.concatenate(contours)
    low, high = points.min(0), points.max(0)
    scale = 2.0 / max((high - low).max(), 1e-6)  # 1e-6: a single point has no extent
    return Shape([(contour - (low + high) / 2) * scale for contour in contours], [])


_CORNERS = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])


def _polar(radii, start=0.0, closed=False):
    angles = start + np.linspace(0.0, 2 * np.pi, len(radii), endpoint=closed)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _blob(rng):
    angles = np.linspace(0.0, 2 * np.pi, 64, endpoint=False)
    waves = np.arange(1, 8)
    amplitudes = rng.uniform(-0.35, 0.35, 7) / waves**0.7
    phases = rng.uniform(0, 2 * np.pi, 7)
    radii = np.exp(np.cos(angles[:, None] * waves + phases) @ amplitudes)
    return _polar(radii / radii.max())


def _wire(rng):
    t = np.linspace(-1.0, 1.0, 40)
    height = np.full(40, rng.uniform(-0.6, 0.6))
    for wave in (1, 2, 3):
        height += rng.uniform(-0.4, 0.4) / wave * np.sin(2 * wave * t + rng.uniform(0, 2 * np.pi))
    return np.clip(np.stack([t, height], 1), -1, 1)


def _twig(rng, start, angle, length, width, depth):
    angles = angle + rng.uniform(-0.4, 0.4) * np.arange(6) / 5
    steps = np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.clip(np.concatenate([[start], start + np.cumsum(steps, 0) * length / 6]), -1, 1)
    strokes = [(points, width)]
    if depth:
        for _ in range(rng.integers(2, 4)):
            fork = points[rng.integers(3, 7)]
            turn = angle + rng.choice((-1, 1)) * rng.uniform(0.25, 0.9)
            shorter = length * rng.uniform(0.5, 0.8)
            strokes += _twig(rng, fork, turn, shorter, width * 0.65, depth - 1)
    return strokes


def _contours(mask):
    found, _ = cv2.findContours(np.uint8(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # Half a pixel of tolerance turns the staircase of the raster into slanted edges.
    largest = cv2.approxPolyDP(max(found, key=cv2.contourArea), 0.5, True)
    return [largest[:, 0].astype(np.float64)]


def _segment(photograph, mask):
    """[PhotoSegment] of a mask, or [] where it is a sliver, a speck or most of the photograph."""
    if not 0.005 < mask.mean() < 0.5:
        return []
    left, top, width, height = cv2.boundingRect(np.uint8(mask))
    filled = mask.sum() / (width * height)
    if min(width, height) < 16 or filled < 0.3:
        return []
    window = np.s_[top : top + height, left : left + width]
    shape = unit_shape(_contours(mask[window]))
    return [PhotoSegment(photograph[window], shape, (max(width, height) - 1) / 2)]

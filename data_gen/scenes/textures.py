"""Textures for procedural scenes: uint8 [h, w, 3] RGB, sharp at the level of one pixel.

About half are taken from photographs, the rest are drawn. Contrast, colour and scale vary
independently of what the texture will cover, so that nothing but blur reveals depth. Many are
nearly flat: real photos are full of smooth surfaces, and a network must predict something there
too. Callers repeat a texture by mirroring where it is smaller than what it covers.
"""

import cv2
import numpy as np

from data_gen.scenes.photographs import load_texture_photographs
from data_gen.scenes.shapes import glyph_outlines

_MAX_TEXTURE_PX = 384


def random_texture(rng, size):
    """One texture, at most `size` px (from 16 to 384) a side: uint8 [h, w, 3] RGB."""
    size = int(np.clip(size, 16, _MAX_TEXTURE_PX))
    if rng.random() < 0.44:
        return _photograph(rng, size)
    drawings = (_noise, _streaks, _dead_leaves, _cells, _flat, _bands, _dots, _mosaic, _text)
    shares = (0.21, 0.14, 0.13, 0.07, 0.18, 0.09, 0.05, 0.04, 0.09)
    texture = drawings[rng.choice(len(drawings), p=shares)](rng, size)
    return _with_grain(rng, texture) if rng.random() < 0.5 else texture


def random_colors(rng, count):
    """float32 [count, 3] RGB in 0..255: mostly muted, of any brightness."""
    hsv = np.empty((1, count, 3), np.float32)
    hsv[0, :, 0] = rng.uniform(0, 360) + rng.normal(0, rng.uniform(5, 60), count)
    hsv[0, :, 0] %= 360
    hsv[0, :, 1] = rng.beta(1.0, 2.8, count)
    hsv[0, :, 2] = rng.uniform(0.05, 1.0, count)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0] * 255


def random_color_transform(rng):
    """float32 [3, 4] for cv2.transform: contrast, brightness, saturation, tint, channel order."""
    grey = np.full((3, 3), 1 / 3)
    saturation = rng.uniform(0.0, 1.25)
    mix = saturation * np.eye(3) + (1 - saturation) * grey
    if rng.random() < 0.2:
        mix = mix[rng.permutation(3)]
    contrast = rng.uniform(0.35, 1.2)
    gains = contrast * rng.uniform(0.8, 1.2, 3)
    # Contrast turns about a middle grey, then the whole is made brighter or darker.
    offset = 110 * (1 - contrast) + rng.uniform(-45, 45)
    return np.hstack([gains[:, None] * mix, np.full((3, 1), offset)]).astype(np.float32)


def smooth_noise(rng, height, width, cells):
    """Low-frequency noise, float32 [height, width] in 0..1, `cells` random values across."""
    grid = rng.random((cells, cells), dtype=np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _photograph(rng, size):
    photographs = load_texture_photographs()
    source = photographs[sorted(photographs)[rng.integers(len(photographs))]]
    reduction = np.exp(rng.uniform(0.0, 0.7)) if rng.random() < 0.6 else 1.0
    height, width = (min(side, int(size * reduction)) for side in source.shape[:2])
    top = rng.integers(source.shape[0] - height + 1)
    left = rng.integers(source.shape[1] - width + 1)
    crop = source[top : top + height, left : left + width]
    if reduction > 1:
        shape = (max(8, int(width / reduction)), max(8, int(height / reduction)))
        crop = cv2.resize(crop, shape, interpolation=cv2.INTER_AREA)
    crop = np.rot90(crop, rng.integers(4))[:, :: rng.choice((-1, 1))]
    if rng.random() < 0.25:
        return np.ascontiguousarray(crop)
    return cv2.transform(np.ascontiguousarray(crop), random_color_transform(rng))


def _noise(rng, size):
    """Noise of several octaves; steps in the palette turn it into camouflage or rust."""
    return _paint(rng, _octaves(rng, size, size))


def _streaks(rng, size):
    """Wood grain, fibres, scratches: noise stretched along one axis, or rings through it."""
    field = cv2.resize(_octaves(rng, size, size // 8), (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        field = 0.5 + 0.5 * np.sin(rng.uniform(10, 60) * field)
    return _paint(rng, field if rng.random() < 0.5 else field.T)


def _dead_leaves(rng, size):
    """Overlapping discs of power-law radius, whose statistics are those of natural images
    (Lee, Mumford and Huang, IJCV 2001); or overlapping lines, as of grass, hair and straw."""
    count = 600
    colors = random_colors(rng, rng.integers(3, 24)).tolist()
    image = np.full((size, size, 3), colors[0], np.uint8)
    # Radii with density r^-3, from 2 px up: the inverse of their distribution function.
    radii = np.minimum(2.0 / np.sqrt(rng.uniform(0.0005, 1.0, count)), size / 4)
    centers = rng.integers(0, size, (count, 2))
    ends = centers + rng.normal(0, 1, (count, 2)) * rng.uniform(4, 20, 2)
    lines = rng.random() < 0.4
    for index, which in enumerate(rng.integers(len(colors), size=count).tolist()):
        center = tuple(centers[index].tolist())
        if lines:
            end = tuple(np.int32(ends[index]).tolist())
            cv2.line(image, center, end, colors[which], 1, cv2.LINE_AA)
        else:
            cv2.circle(image, center, round(radii[index]), colors[which], -1)
    return image


def _cells(rng, size):
    """Irregular cells, as of pebbles or a mosaic of broken tiles."""
    seeds = np.ones((size, size), np.uint8)
    count = rng.integers(20, 400)
    seeds[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    distance, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5)
    palette = random_colors(rng, rng.integers(3, 24))
    image = palette[rng.integers(len(palette), size=labels.max() + 1)][labels]
    if rng.random() < 0.5:
        image *= 1.0 - np.clip(distance / distance.max(), 0, 1)[..., None] * rng.uniform(0.2, 0.8)
    return np.uint8(image)


def _flat(rng, size):
    """A painted or plain surface: two colours close to each other, in a slow transition."""
    first, other = random_colors(rng, 2)
    second = first + (other - first) * rng.uniform(0.0, 0.35)
    field = smooth_noise(rng, size, size, rng.integers(2, 5))[..., None]
    return np.uint8(np.clip(first + (second - first) * field, 0, 255))


def _bands(rng, size):
    """Stripes, or two crossed sets: checks and weaves. Edges are one pixel wide."""
    angle = rng.uniform(0, np.pi)
    field = _stripes(rng, size, angle)
    if rng.random() < 0.4:
        field = np.abs(field - _stripes(rng, size, angle + np.pi / 2))
    return _paint(rng, field)


def _stripes(rng, size, angle):
    period = np.exp(rng.uniform(np.log(4), np.log(48)))
    at = np.arange(size, dtype=np.float32)
    phase = (at * np.cos(angle) + at[:, None] * np.sin(angle)) / period + rng.random()
    triangle = np.abs(2 * (phase % 1) - 1)  # slope 2/period a pixel
    return np.clip((triangle - rng.uniform(0.2, 0.8)) * period / 2 + 0.5, 0, 1)


def _dots(rng, size):
    period = rng.uniform(5, 32)
    at = np.arange(size, dtype=np.float32)
    x, y = ((at + rng.uniform(0, period)) % period - period / 2 for _ in range(2))
    distance = np.hypot(x, y[:, None])
    return _paint(rng, np.clip(distance - period * rng.uniform(0.15, 0.45) + 0.5, 0, 1))


def _mosaic(rng, size):
    palette = random_colors(rng, rng.integers(2, 12))
    tiles = palette[rng.integers(len(palette), size=rng.integers(4, 30, 2))]
    return cv2.resize(np.uint8(tiles), (size, size), interpolation=cv2.INTER_NEAREST)


def _text(rng, size):
    """Rows of letters: print, signs, covers."""
    paper, ink = random_colors(rng, 2)
    image = np.full((size, size, 3), paper, np.uint8)
    letter = rng.uniform(5, 9) if rng.random() < 0.6 else rng.uniform(9, 30)
    glyphs = glyph_outlines()[:54]  # letters, digits and signs; pictograms follow
    across = int(min(size / (1.3 * letter), 26))
    for row in range(int(min(size / (2.2 * letter), 18))):
        for column in range(across):
            if rng.random() < 0.18:
                continue  # a gap between words
            center = np.array((0.7 + 1.3 * column, 1.1 + 2.2 * row)) * letter
            glyph = glyphs[rng.integers(len(glyphs))]
            contours = [
                np.int32((outline * letter * 0.6 + center) * 16) for outline in glyph.contours
            ]
            cv2.fillPoly(image, contours, ink.tolist(), cv2.LINE_AA, shift=4)
    return image


def _octaves(rng, height, width):
    """Sum of octaves of noise with a random spectrum: float32 [height, width] in 0..1."""
    persistence = rng.uniform(0.35, 0.95)
    field = np.zeros((height, width), np.float32)
    cells, amplitude = rng.integers(2, 8), 1.0
    while cells <= 2 * max(height, width):
        grid = rng.random((min(cells, height), min(cells, width)), dtype=np.float32)
        field += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = 2 * cells, amplitude * persistence
    return cv2.normalize(field, None, 0, 1, cv2.NORM_MINMAX)


def _paint(rng, field):
    """Values in 0..1 -> colours along a random palette, smooth or in steps."""
    count = rng.integers(2, 6)
    colors = random_colors(rng, count)
    colors = colors.mean(0) + (colors - colors.mean(0)) * rng.uniform(0.2, 1.0)
    stops = np.sort(np.concatenate([[0, 1], rng.random(count - 2)]))
    at = np.linspace(0, 1, 256)
    if count > 2 and rng.random() < 0.3:
        palette = colors[np.minimum(np.searchsorted(stops, at), count - 1)]
    else:
        palette = np.stack([np.interp(at, stops, colors[:, channel]) for channel in range(3)], 1)
    indices = np.uint8(np.clip(field * 255, 0, 255))
    return cv2.applyColorMap(indices, np.uint8(np.clip(palette, 0, 255))[:, None])


def _with_grain(rng, texture):
    """The fine roughness that most surfaces have, the same in all channels."""
    grain = rng.standard_normal(texture.shape[:2], dtype=np.float32) * rng.uniform(1.0, 10.0)
    return np.uint8(np.clip(texture + grain[..., None], 0, 255))

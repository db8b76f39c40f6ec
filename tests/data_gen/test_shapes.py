"""Outlines and textures of procedural scenes."""

import numpy as np

from data_gen.scenes.shapes import (
    _GLYPHS,
    glyph_outlines,
    photo_segments,
    random_shape,
    random_strokes,
)
from data_gen.scenes.textures import random_color_transform, random_colors, random_texture


def test_shapes_fit_the_unit_square():
    rng = np.random.default_rng(0)
    for _ in range(150):
        for shape in (random_shape(rng), random_strokes(rng)):
            lines = shape.contours + [line for line, _ in shape.strokes]
            assert lines and all(len(line) >= 2 for line in lines)
            assert max(np.abs(line).max() for line in lines) <= 1 + 1e-9


def test_outlines_of_real_things():
    glyphs = glyph_outlines()
    assert len(glyphs) == len(_GLYPHS)
    # 'O' is the outer and the inner rim; 'T' has no hole.
    assert len(glyphs[_GLYPHS.index("O")].contours) == 2
    assert len(glyphs[_GLYPHS.index("T")].contours) == 1
    segments = photo_segments()
    assert len(segments) > 100
    for segment in segments:
        assert segment.pixels.dtype == np.uint8 and min(segment.pixels.shape[:2]) >= 16
        assert 2 * segment.radius_px + 1 == max(segment.pixels.shape[:2])


def test_textures_are_eight_bit_rgb_of_bounded_size():
    rng = np.random.default_rng(1)
    for size in (1, 16, 50.7, 200, 5000):
        for _ in range(12):
            texture = random_texture(rng, size)
            assert texture.dtype == np.uint8 and texture.ndim == 3 and texture.shape[2] == 3
            assert min(texture.shape[:2]) >= 8 and max(texture.shape[:2]) <= 384


def test_textures_differ_in_brightness_contrast_and_colour():
    rng = np.random.default_rng(2)
    textures = [random_texture(rng, 64) for _ in range(150)]
    means = np.array([texture.mean() for texture in textures])
    spreads = np.array([texture.mean(2).std() for texture in textures])
    assert means.min() < 50 and means.max() > 170
    # From nearly flat surfaces to strong contrast.
    assert np.mean(spreads < 6) > 0.05 and np.mean(spreads > 40) > 0.1


def test_colors_and_color_transforms_keep_the_range_of_eight_bits():
    rng = np.random.default_rng(3)
    colors = np.concatenate([random_colors(rng, 5) for _ in range(50)])
    assert colors.min() >= 0 and colors.max() <= 255
    for _ in range(50):
        matrix = random_color_transform(rng)
        # Middle grey stays a usable brightness: 110 changes by the offset's 45 and the tint.
        grey = matrix @ np.array((110, 110, 110, 1.0))
        assert grey.min() > 20 and grey.max() < 230

"""Shapes of one layer's blur, as kernels.

| aperture   | kernel of a layer                                                                   |
| ---------- | ----------------------------------------------------------------------------------- |
| `gaussian` | sampled Gaussian, sigma = coc/4, normalised to sum 1: the paper's                   |
| `disc`     | disc of diameter coc, as a circular aperture out of focus casts it; its standard    |
|            | deviation along an axis, coc/4, is that of the Gaussian                             |
| `polygon`  | regular polygon of `blades` sides with the disc's area: a diaphragm that is stopped |
|            | down; one corner lies at the angle `rotation_deg` from the x axis                   |

Edges of disc and polygon are antialiased over one pixel: the weight of a tap is
clip(1/2 - d, 0, 1) with d its signed distance to the edge in pixels, negative inside. Where the
aperture lies in front of its image (nearer than the focus plane) a polygon is turned by 180
degrees, as in a real lens.

All kernels have 29 x 29 taps (`RADIUS` 14 px), enough for the largest disc, 28 px.
"""

import math

import tensorflow as tf

from data_gen import optics
from data_gen.rendering.options import PLAIN, Realism

RADIUS = 14
# Below 0.02 px the sampled Gaussian is a single 1 in float32 anyway; keeps 0 out of the division.
SIGMA_FLOOR_PX = 0.02


def gaussian_taps(sigma_px: tf.Tensor) -> tf.Tensor:
    """One axis of the Gaussian, normalised: sigma [L] pixels -> [L, 29]."""
    offset = tf.range(-RADIUS, RADIUS + 1, dtype=tf.float32)
    sigma_px = tf.maximum(sigma_px, SIGMA_FLOOR_PX)[:, None]
    taps = tf.exp(-0.5 * tf.square(offset / sigma_px))
    return taps / tf.reduce_sum(taps, axis=1, keepdims=True)


def kernels(sigma_px, in_front, realism: Realism = PLAIN) -> tf.Tensor:
    """The kernel of every layer: [L, 29, 29], each with sum 1.

    Args:
        sigma_px: [L] float32, 0..7.
        in_front: [L] bool, layers nearer than the focus plane (they turn a polygon).
    """
    sigma_px = tf.convert_to_tensor(sigma_px, tf.float32)
    if realism.aperture == "gaussian":
        taps = gaussian_taps(sigma_px)
        return taps[:, :, None] * taps[:, None, :]
    axis = tf.range(-RADIUS, RADIUS + 1, dtype=tf.float32)
    y, x = axis[:, None], axis[None, :]
    radius_px = (optics.sigma_to_coc(sigma_px) / 2.0)[:, None, None]
    if realism.aperture == "disc":
        distance = tf.sqrt(x * x + y * y)[None] - radius_px
    else:
        distance = _polygon_distance(x, y, radius_px, in_front, realism)
    weight = tf.clip_by_value(0.5 - distance, 0.0, 1.0)
    # The centre always counts: a radius of 0 is the identity.
    return weight / tf.reduce_sum(weight, axis=(1, 2), keepdims=True)


def _polygon_distance(x, y, radius_px, in_front, realism):
    """Distance to the nearest side's line, negative inside; exact but for the corners' outsides."""
    count = realism.blades
    # Area of a regular polygon of apothem a is n * tan(pi/n) * a^2; that of the disc pi * r^2.
    apothem_px = radius_px * math.sqrt(math.pi / (count * math.tan(math.pi / count)))
    turn = tf.where(in_front, -1.0, 1.0)[:, None, None]
    distances = []
    for side in range(count):
        angle = math.radians(realism.rotation_deg) + math.pi * (2 * side + 1) / count
        distances.append(turn * (x * math.cos(angle) + y * math.sin(angle))[None])
    return tf.reduce_max(tf.stack(distances), axis=0) - apothem_px

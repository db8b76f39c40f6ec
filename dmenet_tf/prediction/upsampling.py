"""Bringing the map of a reduced photo back to full size, along the photo's own edges.

The fast guided filter (He and Sun, "Fast Guided Filter", 2015; He, Sun, Tang, "Guided Image
Filtering", TPAMI 2013): in each window the map is fitted by a line in the photo's brightness I,

    q = a I + b,   a = cov(I, p) / (var(I) + epsilon),   b = mean(p) - a mean(I),

on the reduced photo; a and b, which are smooth, are enlarged and applied to the full one. So a
border of the map falls where the photo has its edge instead of being as wide as the reduction.
"""

import cv2
import numpy as np

from data_gen.io.pixels import as_float

RADIUS_PX = 3  # of a window, on the reduced photo
# Brightness is in [0, 1]. Contrast below 0.1 is not taken for a border of the map, so that texture
# is not copied into it.
EPSILON = 0.1**2
_STRIP_ROWS = 512  # memory stays that of a strip


def grey(image: np.ndarray) -> np.ndarray:
    """RGB [H, W, 3] of uint8, uint16 or float in [0, 1] -> brightness [H, W] float32 in [0, 1]."""
    return as_float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def upsample_guided(small: np.ndarray, small_guide: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """A map [h, w] float32 -> [H, W] float32, guided by the full photo.

    `small_guide`: the photo [h, w, 3] that the map belongs to; `guide`: the full one, [H, W, 3].
    A value never exceeds the range of the map within the window: no edge overshoots.
    """
    size = 2 * RADIUS_PX + 1
    light = grey(small_guide)

    def mean(plane):
        return cv2.boxFilter(plane, cv2.CV_32F, (size, size), borderType=cv2.BORDER_REFLECT)

    mean_light, mean_map = mean(light), mean(small)
    variance = mean(light * light) - mean_light * mean_light
    slope = (mean(light * small) - mean_light * mean_map) / (np.maximum(variance, 0.0) + EPSILON)
    window = np.ones((size, size), np.uint8)
    planes = (
        mean(slope),
        mean(mean_map - slope * mean_light),
        cv2.erode(small, window),
        cv2.dilate(small, window),
    )
    height, width = guide.shape[:2]
    result = np.empty((height, width), np.float32)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        slope, offset, lowest, highest = (_rows(plane, rows, height, width) for plane in planes)
        result[rows] = np.clip(slope * grey(guide[rows]) + offset, lowest, highest)
    return result


def _rows(plane: np.ndarray, rows: slice, height: int, width: int) -> np.ndarray:
    """Rows of `plane` enlarged bilinearly to height x width, pixel centres aligned."""

    def sources(count, total, begin, length):
        return (np.arange(begin, begin + count, dtype=np.float32) + 0.5) * (total / length) - 0.5

    y = sources(rows.stop - rows.start, plane.shape[0], rows.start, height)
    x = sources(width, plane.shape[1], 0, width)
    map_x, map_y = np.broadcast_arrays(x[None, :], y[:, None])
    return cv2.remap(
        plane, map_x.copy(), map_y.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )

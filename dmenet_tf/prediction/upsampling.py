"""Bringing the map of a reduced photo back to full size, along the photo's own edges.

The fast guided filter (He and Sun, "Fast Guided Filter", 2015; He, Sun, Tang, "Guided Image
Filtering", TPAMI 2013): in each window the map p is fitted by a plane in the photo's colour I,

    q = a . I + b,   a = (cov(I) + epsilon)^-1 cov(I, p),   b = mean(p) - a . mean(I),

on the reduced photo; a and b, which are smooth, are enlarged and applied to the full one. So a
border of the map falls where the photo has its edge instead of being as wide as the reduction.

In a large window the fit also takes from the map what the photo does not explain: ripples in flat
blur, holes in a smooth surface. `docs/training.md` has figures.
"""

import cv2
import numpy as np

from data_gen.io.pixels import as_float

RADIUS_PX = 3  # of a window, on the reduced photo, for what is exact but for its enlargement
# Colours are in [0, 1]. Contrast below 0.1 is not taken for a border of the map, so that texture
# is not copied into it.
EPSILON = 0.1**2
# Of the window that also smooths a map, as a share of its longer side, and its epsilon.
SMOOTHING_SHARE, SMOOTHING_EPSILON = 1 / 16, 1e-3
_STRIP_ROWS = 512  # memory stays that of a strip


def smoothing_radius(small: np.ndarray) -> int:
    """The radius in pixels of the window that smooths a map [h, w] along the photo's edges."""
    return max(1, round(max(small.shape) * SMOOTHING_SHARE))


def upsample_guided(
    small: np.ndarray,
    small_guide: np.ndarray,
    guide: np.ndarray,
    radius_px: int = RADIUS_PX,
    epsilon: float = EPSILON,
) -> np.ndarray:
    """A map [h, w] float32 -> [H, W] float32, guided by the full photo.

    `small_guide`: the photo [h, w, 3] that the map belongs to; `guide`: the full one, [H, W, 3];
    RGB of uint8, uint16 or float in [0, 1]. `radius_px`: of a window, in pixels of the map.
    A value never exceeds the range of the map within the window: no edge overshoots.
    """
    window = np.ones((2 * radius_px + 1,) * 2, np.uint8)
    slopes, offset = _fit(small, as_float(small_guide), radius_px, epsilon)
    planes = (*slopes, offset, cv2.erode(small, window), cv2.dilate(small, window))
    height, width = guide.shape[:2]
    result = np.empty((height, width), np.float32)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        *slopes, offset, lowest, highest = (_rows(p, rows, height, width) for p in planes)
        colour = as_float(guide[rows])
        fitted = offset + sum(slope * colour[..., i] for i, slope in enumerate(slopes))
        result[rows] = np.clip(fitted, lowest, highest)
    return result


def _fit(small, colour, radius_px: int, epsilon: float):
    """The smooth slopes, one [h, w] for each colour, and the offset [h, w] of the fit."""
    size = 2 * radius_px + 1

    def mean(planes):
        return cv2.boxFilter(planes, cv2.CV_32F, (size, size), borderType=cv2.BORDER_REFLECT)

    mean_colour, mean_map = mean(colour), mean(small)
    shared = mean(colour * small[..., None]) - mean_colour * mean_map[..., None]
    covariance = np.empty((*small.shape, 3, 3), np.float32)
    for i in range(3):
        products = mean(colour * colour[..., i : i + 1])
        covariance[..., i] = products - mean_colour * mean_colour[..., i : i + 1]
    covariance += epsilon * np.eye(3, dtype=np.float32)
    slopes = np.linalg.solve(covariance, shared[..., None])[..., 0]
    offset = mean_map - (slopes * mean_colour).sum(axis=-1)
    return np.moveaxis(mean(slopes), -1, 0), mean(offset)


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

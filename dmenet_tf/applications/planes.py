"""What the applications share: light, checks, Gaussians, tiles, and a map that follows edges.

Shapes: image [H, W, 3] float32 RGB, sigma_px [H, W] float32. Borders are symmetric (the edge pixel
repeated). Work goes tile by tile, so a large photo needs few copies of itself.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

TILE = 512
# A kernel ends at 4 sigma, where a Gaussian has fallen to 0.03 %.
RADIUS_SIGMAS = 4.0
# Sampled at whole pixels, a narrower Gaussian is a single 1 (its next tap is below 1e-9).
NO_BLUR_PX = 0.15
GAMMA = 2.2


def to_linear(image: np.ndarray) -> np.ndarray:
    """Display values in [0, 1] -> linear light, where a lens blurs: highlights keep their weight."""
    return np.power(image, np.float32(GAMMA))


def to_display(image: np.ndarray) -> np.ndarray:
    """Inverse of `to_linear`; what lies outside of [0, 1] is clipped."""
    return np.power(np.clip(image, 0.0, 1.0), np.float32(1 / GAMMA))


def check_map(image: np.ndarray, sigma_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float32. Raises ValueError for shapes or values that are none of a photo's map."""
    image, sigma_px = np.asarray(image, np.float32), np.asarray(sigma_px, np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a photo is [H, W, 3]; received {list(image.shape)}")
    if sigma_px.shape != image.shape[:2]:
        raise ValueError(
            f"a map has the size of its photo, {list(image.shape[:2])}; "
            f"received {list(sigma_px.shape)}"
        )
    bad = np.count_nonzero(~np.isfinite(sigma_px))
    if bad or sigma_px.min() < 0:
        raise ValueError(
            "a map holds sigma in pixels, finite and >= 0; received "
            + (f"{bad} values that are not finite" if bad else f"{sigma_px.min():g}")
        )
    return image, sigma_px


def gaussian(planes: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of [H, W] or [H, W, C] float32."""
    if sigma_px < NO_BLUR_PX:
        return planes
    side = 2 * int(np.ceil(RADIUS_SIGMAS * sigma_px)) + 1
    return cv2.GaussianBlur(planes, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT)


def map_tiles(function: Callable, margin: int, *planes: np.ndarray) -> np.ndarray:
    """`function` of tiles and `margin` px around them, put together: [H, W, 3] float32.

    Args:
        function: takes a window [h + 2 * margin, w + 2 * margin, ...] of each plane and of
            `inside`, bool, which tells the picture's own pixels from mirrored ones; returns the
            tile, [h, w, 3].
        planes: [H, W, ...].
    """
    height, width = planes[0].shape[:2]
    out = np.empty((height, width, 3), np.float32)
    rows, columns = np.arange(-margin, height + margin), np.arange(-margin, width + margin)
    row_inside, column_inside = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    rows, columns = _mirrored(rows, height), _mirrored(columns, width)

    def tile(corner):
        top, left = corner
        bottom, right = min(top + TILE, height), min(left + TILE, width)
        y, x = slice(top, bottom + 2 * margin), slice(left, right + 2 * margin)
        window = np.ix_(rows[y], columns[x])
        inside = row_inside[y, None] & column_inside[None, x]
        out[top:bottom, left:right] = function(*(plane[window] for plane in planes), inside)

    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV lets go of Python's lock
        list(pool.map(tile, corners))
    return out


def _mirrored(index, size):
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def follow_edges(image, sigma_px, radius_px=None, epsilon=1e-3) -> np.ndarray:
    """Smooths a predicted map within objects and keeps its edges where the photo has them.

    The guided filter with a colour guide (He, Sun, Tang, "Guided Image Filtering", TPAMI 2013,
    eq. 14 and 15): within each window the map is a linear function of the photo's colour.

    Args:
        radius_px: of the window; None: 1 % of the longer side.
        epsilon: variance of colour below which a window counts as smooth.
    Returns:
        float32 [H, W], within the range of `sigma_px`.
    """
    image, sigma_px = check_map(image, sigma_px)
    height, width = sigma_px.shape
    radius_px = max(2, round(0.01 * max(height, width))) if radius_px is None else radius_px
    reduction = max(1, radius_px // 4)  # the coefficients are smooth: solved at a small size
    small = (max(1, width // reduction), max(1, height // reduction))
    guide = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    values = cv2.resize(sigma_px, small, interpolation=cv2.INTER_AREA)
    side = 2 * (radius_px // reduction) + 1

    def mean(planes):
        return cv2.blur(planes, (side, side), borderType=cv2.BORDER_REFLECT)

    guide_mean, value_mean = mean(guide), mean(values)
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(*guide.shape[:2], 9))
    variance = products.reshape(*guide.shape, 3) - guide_mean[..., :, None] * guide_mean[..., None, :]
    covariance = mean(guide * values[..., None]) - guide_mean * value_mean[..., None]
    regular = (variance + epsilon * np.eye(3, dtype=np.float32)).astype(np.float64)
    slope = np.linalg.solve(regular, covariance.astype(np.float64)[..., None])[..., 0]
    slope = slope.astype(np.float32)
    offset = value_mean - (slope * guide_mean).sum(axis=-1)
    lines = mean(np.concatenate([slope, offset[..., None]], axis=-1))
    lines = cv2.resize(lines, (width, height), interpolation=cv2.INTER_LINEAR)
    smooth = np.einsum("hwc,hwc->hw", lines[..., :3], image) + lines[..., 3]
    return np.clip(smooth, sigma_px.min(), sigma_px.max())

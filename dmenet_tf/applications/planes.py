"""What the applications share: checks, Gaussians, tiles, maps that follow edges, their floor.

Shapes: image [H, W, 3] float32 RGB, sigma_px [H, W] float32. Borders are symmetric (the edge pixel
is repeated). Work is done tile by tile, so that a large photo needs little extra memory.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from dmenet_tf.prediction.upsampling import upsample_guided

TILE = 512
MANY_TILES = 10
# A kernel ends at 4 sigma, where a Gaussian has fallen to 0.03 %.
RADIUS_SIGMAS = 4.0
# Sampled at whole pixels, a narrower Gaussian is a single 1 (its next tap is below 1e-9).
NO_BLUR_PX = 0.15
EVEN_SIDE_PX = 320
# The blur that a network predicts for a subject in focus is at most this; more is real blur.
SHARP_AUTO_MAX_PX = 1.5


def check_map(image: np.ndarray, sigma_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float32. Raises ValueError for shapes that do not fit, or sigma not finite, >= 0."""
    image, sigma_px = np.asarray(image, np.float32), np.asarray(sigma_px, np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a photo must be [H, W, 3]; received {list(image.shape)}")
    if sigma_px.shape != image.shape[:2]:
        raise ValueError(
            f"a map must have the size of its photo, {list(image.shape[:2])}; "
            f"received {list(sigma_px.shape)}"
        )
    bad = np.count_nonzero(~np.isfinite(sigma_px))
    if bad or sigma_px.min() < 0:
        raise ValueError(
            "a map must hold sigma in pixels, finite and >= 0; received "
            + (f"{bad} values that are not finite" if bad else f"{sigma_px.min():g}")
        )
    return image, sigma_px


def gaussian(planes: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of [H, W] or [H, W, C] float32."""
    if sigma_px < NO_BLUR_PX:
        return planes
    side = 2 * int(np.ceil(RADIUS_SIGMAS * sigma_px)) + 1
    return cv2.GaussianBlur(planes, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT)


def map_tiles(
    function: Callable, margin: int, *planes: np.ndarray, progress: Callable | None = None
) -> np.ndarray:
    """`function` of tiles and `margin` px around them, put together: [H, W, 3] float32.

    Args:
        function: takes a window [h + 2 * margin, w + 2 * margin, ...] of each plane and of
            `inside`, bool, True for the picture's own pixels, False for mirrored ones; returns the
            tile, [h, w, 3].
        planes: [H, W, ...].
        progress: `progress(tiles, total=)` wraps the tiles of a picture of many, as tqdm does.
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
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV releases the GIL
        done = pool.map(tile, corners)
        shown = progress is not None and len(corners) >= MANY_TILES
        for _ in progress(done, total=len(corners)) if shown else done:
            pass
    return out


def _mirrored(index, size):
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def follow_edges(image, sigma_px) -> np.ndarray:
    """Smooths a predicted map within objects, and moves its edges to those of the photo.

    The map is reduced until its longer side is `EVEN_SIDE_PX` and brought back by the guided filter
    of `upsampling`, whose windows are then about 2 % of that side. [H, W] float32.
    """
    image, sigma_px = check_map(image, sigma_px)
    scale = min(1.0, EVEN_SIDE_PX / max(sigma_px.shape))
    size = tuple(max(1, round(side * scale)) for side in sigma_px.shape[::-1])
    small = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (sigma_px, image))
    return np.maximum(upsample_guided(*small, image), 0.0)


def sharp_level(sigma_px) -> float:
    """The blur that a map has in the photo's sharp part, in pixels.

    The upper quartile of the lower of Otsu's two classes, but at most 1.5 px: a photo may have no
    sharp part.
    """
    from skimage.filters import threshold_otsu

    lower = sigma_px[sigma_px <= threshold_otsu(sigma_px)]
    return min(float(np.quantile(lower, 0.75)), SHARP_AUTO_MAX_PX)


def without_floor(sigma_px, sharp_px: float) -> np.ndarray:
    """The blur beyond `sharp_px`, which counts as none: Gaussians add in squares."""
    sharp_px = np.float32(sharp_px)
    return np.sqrt(np.maximum(sigma_px - sharp_px, 0.0) * (sigma_px + sharp_px))

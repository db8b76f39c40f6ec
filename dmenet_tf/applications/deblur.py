"""Deblurring by deconvolution with a Gaussian that varies over the photo as the map does.

sigma is quantised into levels. Each level is deconvolved with its own Gaussian by Richardson-Lucy
iteration with total variation (Dey et al., Microscopy Research and Technique 2006, eq. 11), here
with weights w, 1 where a pixel has about the level's blur:

    x <- x * [G(w * y / G(x)) / G(w)] / (1 - tv * div(grad x / |grad x|))

and the levels are blended by interpolation in log(sigma). Pixels with another blur (a sharp
object in front) and those beyond the photo's border have weight 0: they are unknown instead of
wrong, so neither outlines nor borders ring, and no tapering of edges is needed. Deconvolutions
without weights
(`skimage.restoration.wiener`, `richardson_lucy`) draw dark bands along every outline.

Limits: blur of several pixels destroys fine detail, which no deconvolution restores; a real lens
blurs with a disc, not a Gaussian; where the map is too high, edges overshoot, and where it is too
low, blur remains.
"""

import cv2
import numpy as np

from data_gen.io.pixels import to_display, to_linear
from dmenet_tf.applications.planes import check_map, gaussian, map_tiles

LEVEL_RATIO = 1.25
FIRST_LEVEL_PX = 0.5
# Below the first value a pixel is left as it is; above the second it is fully deblurred.
FADE_PX = (0.35, 0.65)
# A pixel counts as evidence for levels within this ratio of its own blur.
EVIDENCE_RATIO = 1.6
# Above this, there is nothing left to restore.
SIGMA_MAX_PX = 10.0
MARGIN_SIGMAS = 6.0
# Keeps the divisions away from 0 at black pixels (no light) and unseen ones (no weight).
FLOOR = 1e-3
# |grad| below this, in linear light, is noise; it makes total variation smooth at 0.
GRADIENT_FLOOR = 1e-2
NEIGHBOURS = np.ones((3, 3), np.uint8)


def deblur(
    image, sigma_px, iterations=15, tv=0.001, amount=1.0, linear=True, progress=None
) -> np.ndarray:
    """Reduces a photo's defocus as far as possible.

    Args:
        image: float32 [H, W, 3] RGB in [0, 1].
        sigma_px: float32 [H, W], the blur to remove; below 0.35 px a pixel is left unchanged.
        iterations: more are sharper and noisier.
        tv: weight of total variation; 0 for a clean picture, 0.01 for a noisy one.
        amount: 0 .. 1, how much of the change is applied.
        linear: deconvolve in linear light; False: the values as they are (data of `data_gen`).
        progress: of `map_tiles`.
    Returns:
        float32 [H, W, 3] in [0, 1].
    Raises:
        ValueError: an option is out of range, or the map does not fit the photo.
    """
    if iterations < 1 or not 0 <= tv <= 0.05 or not 0 <= amount <= 1:
        raise ValueError(
            "deblurring needs iterations >= 1, tv in [0, 0.05] and amount in [0, 1]; "
            f"received {iterations}, {tv:g} and {amount:g}"
        )
    image, sigma_px = check_map(image, sigma_px)
    share = np.clip((sigma_px - FADE_PX[0]) / (FADE_PX[1] - FADE_PX[0]), 0.0, 1.0)
    if not share.any():
        return image.copy()
    sigma_px = np.minimum(sigma_px, SIGMA_MAX_PX)
    margin = int(np.ceil(MARGIN_SIGMAS * sigma_px.max())) + 2

    def tile(pixels, sigma_px, inside):
        return _tile(pixels, sigma_px, inside, margin, iterations, tv)

    light = to_linear(image) if linear else image
    sharp = map_tiles(tile, margin, light, sigma_px, progress=progress)
    sharp = to_display(sharp) if linear else np.clip(sharp, 0.0, 1.0)
    return image + (sharp - image) * (np.float32(amount) * share[..., None])


def _tile(pixels, sigma_px, inside, margin, iterations, tv):
    inner = (slice(margin, -margin), slice(margin, -margin))
    log_ratio = np.log(LEVEL_RATIO)
    position = np.log(np.maximum(sigma_px, FIRST_LEVEL_PX) / FIRST_LEVEL_PX) / log_ratio
    own = position[inner]
    out = np.zeros((*own.shape, 3), np.float32)
    reach = np.log(EVIDENCE_RATIO) / log_ratio
    for level in range(int(own.min()), int(np.ceil(own.max())) + 1):
        share = np.clip(1.0 - np.abs(own - level), 0.0, 1.0)
        if share.any():
            level_px = FIRST_LEVEL_PX * LEVEL_RATIO**level
            # Sharp pixels are no evidence: they have the first level's position only by clipping.
            near = (np.abs(position - level) < reach) & (sigma_px > FADE_PX[0]) & inside
            # Along an outline a pixel may mix the light of both objects: it would flare.
            weight = cv2.erode(near.astype(np.float32), NEIGHBOURS, borderValue=0)
            sharp = _deconvolve(pixels, weight, level_px, iterations, tv)
            out += share[..., None] * sharp[inner]
    return out


def _deconvolve(observed, weight, sigma_px, iterations, tv):
    """Richardson-Lucy with weights [h, w] and total variation -> [h, w, 3]."""
    weighted = weight[..., None] * observed
    seen = gaussian(weight, sigma_px)[..., None] + FLOOR
    # Unknown pixels start as an average of the known ones around, not as the other object.
    around = (gaussian(weighted, sigma_px) + FLOOR * observed) / seen
    estimate = np.where(weight[..., None] > 0, observed, around)
    for _ in range(iterations):
        ratio = weighted / np.maximum(gaussian(estimate, sigma_px), FLOOR)
        # Where nothing is seen, the ratio of the floors leaves the estimate unchanged.
        step = (gaussian(ratio, sigma_px) + FLOOR) / seen
        if tv:
            step /= 1.0 - tv * _curvature(estimate)
        estimate *= step
    return estimate


def _curvature(planes):
    """div(grad / |grad|) [h, w, c], within -4 .. 4: forward differences, then backward ones."""
    across = np.diff(planes, axis=1, append=planes[:, -1:])
    down = np.diff(planes, axis=0, append=planes[-1:])
    size = np.sqrt(across * across + down * down + GRADIENT_FLOOR**2)
    across /= size
    down /= size
    divergence = across + down
    divergence[:, 1:] -= across[:, :-1]
    divergence[1:] -= down[:-1]
    return divergence

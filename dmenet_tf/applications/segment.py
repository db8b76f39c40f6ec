"""Cutting out what is in focus: a binary mask from the map, cleaned, and refined along outlines.

A map becomes a mask by one of `RULES`; a pixel is sharp where its sigma is at most tau:

| rule | tau | for |
| --- | --- | --- |
| `otsu` | Otsu's: the best split of the map into two classes | a subject on a blurred background |
| `fixed` | `threshold_px` | comparable masks; photos that may have nothing in focus |
| `paper` | 0.3 * max + 0.7 * min of the map (Lee et al., CVPR 2019) | comparison with the paper |
| `hysteresis` | `threshold_px`, where connected to `low_px` | subjects with flat parts |

`otsu` and `paper` split every photo in two, even one that is in focus throughout. An opening and a
closing then remove specks and gaps, and small parts and holes are dropped. `grabcut`
refines the outline by colour (Rother, Kolmogorov, Blake, SIGGRAPH 2004; OpenCV): far inside
the mask is subject, far outside is background, and the band between is decided on a reduced photo.
"""

import cv2
import numpy as np

from dmenet_tf.applications.planes import check_map, gaussian
from dmenet_tf.metrics import adaptive_threshold
from dmenet_tf.prediction.upsampling import upsample_guided

RULES = ("otsu", "fixed", "paper", "hysteresis")
# Shares of the longer side: of an opening's radius, and of the band in which GrabCut decides.
CLEANING, BAND = 0.004, 0.03
SMALLEST_SHARE = 0.002  # of the photo's area
GRABCUT_SIDE_PX, GRABCUT_ITERATIONS = 640, 4


def sharp_mask(
    image, sigma_px, rule="otsu", threshold_px=1.5, low_px=0.75, clean=True, grabcut=False
) -> np.ndarray:
    """The part of a photo that is in focus.

    Args:
        image: float32 [H, W, 3] RGB in [0, 1]; used by `grabcut` only.
        sigma_px: float32 [H, W], the photo's blur in pixels.
        rule: of `RULES`.
        threshold_px: tau of `fixed`, upper threshold of `hysteresis`.
        low_px: lower threshold of `hysteresis`.
    Returns:
        bool [H, W], True = sharp.
    Raises:
        ValueError: the rule is unknown, the thresholds are in the wrong order, or the map does not
            fit the photo.
    """
    image, sigma_px = check_map(image, sigma_px)
    mask = _threshold(sigma_px, rule, threshold_px, low_px)
    if clean:
        mask = clean_mask(mask)
    if grabcut and 0 < mask.mean() < 1:
        mask = _grabcut(image, mask)
        mask = clean_mask(mask) if clean else mask
    return mask


def cut_out(image, mask, feather_px=1.0) -> np.ndarray:
    """RGBA float32 [H, W, 4]: the colours unchanged, alpha the mask with a soft edge."""
    alpha = gaussian(mask.astype(np.float32), feather_px)
    return np.concatenate([np.asarray(image, np.float32), alpha[..., None]], axis=-1)


def _threshold(sigma_px, rule, threshold_px, low_px):
    if rule == "fixed":
        return sigma_px <= threshold_px
    if rule == "paper":
        return sigma_px <= adaptive_threshold(sigma_px)
    if rule == "otsu":
        from skimage.filters import threshold_otsu  # takes a second to import, with SciPy

        return sigma_px <= threshold_otsu(sigma_px)
    if rule == "hysteresis":
        if not 0 <= low_px <= threshold_px:
            raise ValueError(
                "the lower threshold of hysteresis must lie between 0 and the upper one; "
                f"received {low_px:g} and {threshold_px:g} px"
            )
        from skimage.filters import apply_hysteresis_threshold

        # It keeps values strictly above; here, those at the threshold count as sharp.
        sharpness = -np.nextafter(sigma_px, np.float32(-1))
        return apply_hysteresis_threshold(sharpness, -threshold_px, -low_px)
    raise ValueError(f"a rule must be one of {', '.join(RULES)}; received {rule!r}")


def clean_mask(mask) -> np.ndarray:
    """Opening, closing, and no part or hole below 0.2 % of the photo: bool [H, W]."""
    radius = max(1, round(CLEANING * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    cleaned = mask.astype(np.uint8)
    for operation in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
        # The mask goes on beyond the border: it is no outline.
        padded = cv2.copyMakeBorder(cleaned, *(2 * radius,) * 4, cv2.BORDER_REPLICATE)
        padded = cv2.morphologyEx(padded, operation, disc)
        cleaned = padded[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    smallest = SMALLEST_SHARE * mask.size
    cleaned = _without_small(cleaned, smallest)
    return ~_without_small(~cleaned, smallest)


def _without_small(mask, smallest_area):
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.uint8(mask), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= smallest_area
    keep[0] = False  # what is not in the mask
    return keep[labels]


def _grabcut(image, mask):
    height, width = mask.shape
    scale = min(1.0, GRABCUT_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    seed = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    band = max(2, round(BAND * max(size)))
    # Distance to the outline, on either side of it; large where there is none.
    inside = cv2.distanceTransform(np.uint8(seed), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(np.uint8(~seed), cv2.DIST_L2, 5)
    labels = np.where(seed, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inside > band] = cv2.GC_FGD
    labels[outside > band] = cv2.GC_BGD
    if not (seed.any() and (~seed).any()):
        return mask
    cv2.setRNGSeed(0)  # GrabCut starts from random clusters: the same photo must give the same mask
    pixels = np.ascontiguousarray(np.rint(small[..., ::-1] * 255).astype(np.uint8))
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(pixels, labels, None, *models, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    decided = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if scale == 1.0:
        return decided
    return upsample_guided(decided.astype(np.float32), small, image) > 0.5

"""Blur that respects occlusion: layers by depth, blurred one by one, composited front to back.

A picture is cut into layers along a signed blur, which orders it by depth (larger = farther). A
layer's colour times mask, and its mask, are blurred with the layer's Gaussian. A layer shows
where the layers in front leave the pixel uncovered, 1 - S:

    w = min(m, 1 - S),    out += w * colour,    S += w,    with m the blurred mask

so a sharp layer in front keeps its pixels exactly, and none of its colour bleeds into the blur
behind it.

Why not `data_gen.rendering.compositing.blend_layers`, which renders the training data: its kernel
ends at 14 px, so it holds for sigma <= 7 px and magnified blur is wider; and it blends every layer
over the ones behind, which on a slanted ground, where many thin layers share one surface, counts
the nearer ones more. With two layers, the front one sharp, both give the same picture.

Where a layer in front becomes transparent at its rim, what is behind it was never seen: the colours
of the farther layers around are extended behind it.

Shapes: image [H, W, 3] float32, signed_px [H, W] float32.
"""

from collections.abc import Callable

import cv2
import numpy as np

from dmenet_tf.applications.planes import NO_BLUR_PX, RADIUS_SIGMAS, gaussian, map_tiles

# Layers are 0.06 px thick where the photo is sharp, 6 % of the blur elsewhere: not visible.
LAYER_STEP = 0.06
# A blurred mask below this is rounding noise at the rim of a kernel.
MASK_FLOOR = 1e-4
# How far a pixel looks for its neighbours, and the weight of those farther away.
NEIGHBOUR_PX, WIDE_WEIGHT = 1.5, 1e-3
REDUCTION = 4  # extended colours are smooth: a quarter of the size is enough


def blur_by_depth(
    image: np.ndarray, signed_px: np.ndarray, extra_px: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Blurs each pixel with a Gaussian of its own, nearer things in front of farther ones.

    Args:
        image: in linear light, or whatever light the blur is to act on.
        signed_px: orders the picture by depth, larger = farther; layers are steps of it.
        extra_px: sigma [L] in pixels, >= 0, of layers with the signed blurs [L].
    Returns:
        [H, W, 3] float32.
    """
    index, centres = _layers(signed_px)
    sigma_px = np.asarray(extra_px(centres), np.float64)
    if sigma_px.max() < NO_BLUR_PX:
        return image.copy()
    margin = int(np.ceil(RADIUS_SIGMAS * max(sigma_px.max(), NEIGHBOUR_PX))) + 1

    def tile(pixels, index, _):
        return _tile(pixels, index, sigma_px, margin)

    return map_tiles(tile, margin, image, index)


def _layers(signed_px):
    """(layer of each pixel [H, W] int16, 0 = nearest; signed blur of each layer [L]).

    A layer's blur is the mean over its pixels, so a picture of one blur gets exactly that blur.
    """
    level = np.rint(np.copysign(np.log1p(np.abs(signed_px)), signed_px) / LAYER_STEP)
    index = (level - level.min()).astype(np.int16)
    flat = index.ravel()
    count = np.maximum(np.bincount(flat), 1)
    return index, np.bincount(flat, weights=signed_px.ravel()) / count


def _tile(pixels, index, sigma_px, margin):
    """One window [h + 2 * margin, w + 2 * margin] -> [h, w, 3]."""
    inner = (slice(margin, -margin), slice(margin, -margin))
    shape = index[inner].shape
    out, covered = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
    present = np.unique(index)
    for layer in present:  # the nearest first
        blurred = _blurred_layer(pixels, index == layer, sigma_px[layer])[inner]
        mask = blurred[..., 3]
        weight = np.where(mask > MASK_FLOOR, np.minimum(mask, 1.0 - covered), 0.0)
        out += blurred[..., :3] * (weight / np.maximum(mask, MASK_FLOOR))[..., None]
        covered += weight
        if covered.min() > 1.0 - MASK_FLOOR:
            break
    missing = 1.0 - covered
    if missing.max() > 0.01:
        behind, share = _behind(pixels, index, present, max(sigma_px), inner)
        missing *= share
        out += missing[..., None] * behind
        covered += missing
    # A pixel's own layer covers some of it: a Gaussian's centre is above the floor up to 40 px.
    return out / np.maximum(covered, MASK_FLOOR)[..., None]


def _blurred_layer(pixels, mask, sigma_px):
    """Colour times mask, and mask, blurred: [h, w, 4]; only around the layer's own pixels."""
    layer = np.zeros((*mask.shape, 4), np.float32)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    reach = int(np.ceil(RADIUS_SIGMAS * sigma_px)) + 1
    box = (
        slice(max(top - reach, 0), top + height + reach),
        slice(max(left - reach, 0), left + width + reach),
    )
    part = mask[box].astype(np.float32)[..., None]
    layer[box] = gaussian(np.concatenate([pixels[box] * part, part], axis=-1), sigma_px)
    return layer


def _behind(pixels, index, present, sigma_px, inner):
    """(what may be behind each pixel [h, w, 3], its share of what is missing there [h, w]).

    Light is missing at a pixel because its layer ends there, and shows what is farther: then the
    colours of the farther layers around are carried on; or because a nearer layer begins there, and
    its own goes on behind that: then nothing is to be added. The nearest neighbours decide; where
    there are none, those within `sigma_px`, whose averages are taken at a quarter of the size.
    """
    own = index[inner]
    rim = int(np.ceil(RADIUS_SIGMAS * NEIGHBOUR_PX))
    around = (slice(inner[0].start - rim, inner[0].stop + rim),) * 2
    farther = np.zeros((*own.shape, 4), np.float32)
    nearer = np.zeros(own.shape, np.float32)
    size = index.shape[::-1]
    small = tuple(max(1, side // REDUCTION) for side in size)
    for layer in present:
        mask = (index == layer).astype(np.float32)[..., None]
        planes = np.concatenate([pixels * mask, mask], axis=-1)
        wide = cv2.resize(planes, small, interpolation=cv2.INTER_AREA)
        wide = gaussian(wide, max(sigma_px / REDUCTION, 1.0))
        wide = cv2.resize(wide, size, interpolation=cv2.INTER_LINEAR)[inner]
        planes = gaussian(planes[around], NEIGHBOUR_PX)[rim:-rim, rim:-rim] + WIDE_WEIGHT * wide
        farther += planes * (own < layer)[..., None]
        nearer += planes[..., 3] * (own > layer)
    weight = np.maximum(farther[..., 3], WIDE_WEIGHT * MASK_FLOOR)
    return farther[..., :3] / weight[..., None], farther[..., 3] / (weight + nearer)

"""Refocusing: another plane in focus, another aperture, after the photo was taken.

The map orders a photo by depth: c is its blur with a sign, + behind the plane in focus. One photo
does not tell the sign. Assumed: everything blurred lies behind (c = sigma); with `near`, in front
(c = -sigma). A lens focused on S1 has coc = alpha * (1 - S1/x) (Lee et al., CVPR 2019, eq. 1),
linear in 1/x; where S1 is far beyond the focal length, alpha * S1 depends on the aperture alone, so
focusing on the plane whose blur was c0, with an aperture `aperture` times as wide, gives

    c_out = aperture * (c - c0)

Pixels whose blur grows are blurred further, sqrt(c_out^2 - c^2), nearer things in front of farther
ones (`layered_blur`). Pixels whose blur shrinks need a deconvolution by sqrt(c^2 - c_out^2)
(`deblur`), which sharpens moderately and restores no lost detail; `sharpen=0` leaves them as
blurred as they were.
"""

import numpy as np

from data_gen.io.pixels import to_display, to_linear
from dmenet_tf.applications.deblur import deblur
from dmenet_tf.applications.layered_blur import blur_by_depth
from dmenet_tf.applications.planes import check_map

PATCH_PX = 4  # a point's blur is the median of the square of this half side around it


def sigma_at(sigma_px, x, y) -> float:
    """The blur at a point, column x and row y; ValueError for a point outside the photo."""
    height, width = sigma_px.shape
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f"the point in focus must lie inside the photo, {width} x {height} px; received {x},{y}"
        )
    y, x = int(y), int(x)
    patch = sigma_px[
        max(y - PATCH_PX, 0) : y + PATCH_PX + 1, max(x - PATCH_PX, 0) : x + PATCH_PX + 1
    ]
    return float(np.median(patch))


def refocus(
    image, sigma_px, focus_px=0.0, aperture=1.0, near=False, sharpen=0.7, linear=True
) -> np.ndarray:
    """Renders a photo as if focused elsewhere.

    Args:
        image: float32 [H, W, 3] RGB in [0, 1].
        sigma_px: float32 [H, W], the photo's blur in pixels.
        focus_px: the blur of the objects to focus on (`sigma_at` a point); 0: as it is.
        aperture: diameter of the aperture, relative to the photo's; 0: none (all in focus).
        near: the blurred parts lie in front of the sharp ones.
        sharpen: 0 .. 1, how much of the deconvolution is applied where blur shrinks.
        linear: blur in linear light; False: the values as they are (data of `data_gen`).
    Returns:
        float32 [H, W, 3] in [0, 1].
    Raises:
        ValueError: an option is out of range, or the map does not fit the photo.
    """
    if not (0 <= focus_px < np.inf and 0 <= aperture < np.inf and 0 <= sharpen <= 1):
        raise ValueError(
            "refocusing needs focus_px >= 0, aperture >= 0 and sharpen in [0, 1]; "
            f"received {focus_px:g}, {aperture:g} and {sharpen:g}"
        )
    image, sigma_px = check_map(image, sigma_px)
    sign = -1.0 if near else 1.0
    wanted_px = aperture * np.abs(sigma_px - np.float32(focus_px))
    if sharpen:
        shrinks = np.sqrt(np.maximum(sigma_px**2 - wanted_px**2, 0.0))
        image = deblur(image, shrinks, amount=sharpen, linear=linear)

    def extra_px(signed):
        sigma = np.abs(signed)
        return np.sqrt(np.maximum((aperture * (sigma - focus_px)) ** 2 - sigma**2, 0.0))

    light = to_linear(image) if linear else image
    blurred = blur_by_depth(light, sign * sigma_px, extra_px)
    return to_display(blurred) if linear else np.clip(blurred, 0.0, 1.0)

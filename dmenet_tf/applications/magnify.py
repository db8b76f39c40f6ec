"""Blur magnification: blurred parts become more blurred, sharp ones stay, as with a faster lens.

After Bae and Durand, "Defocus Magnification" (Eurographics 2007): sigma_out = k * sigma.
Variances of Gaussians add, so a pixel is blurred further by sqrt(k^2 - 1) * sigma. The blur is
layered, so a sharp subject does not bleed into the background (`layered_blur`).

Assumed: all blur lies behind the plane in focus; with `near`, in front of it. One photo does not
tell which. Blurring is done in linear light, as in a lens.
"""

import numpy as np

from data_gen.io.pixels import to_display, to_linear
from dmenet_tf.applications.layered_blur import blur_by_depth
from dmenet_tf.applications.planes import check_map


def magnify(image, sigma_px, factor=2.0, near=False, linear=True) -> np.ndarray:
    """Multiplies a photo's defocus.

    Args:
        image: float32 [H, W, 3] RGB in [0, 1].
        sigma_px: float32 [H, W], the photo's blur in pixels.
        factor: k >= 1; 1 changes nothing.
        near: the blurred parts lie in front of the sharp ones.
        linear: blur in linear light; False: the values as they are (data of `data_gen`).
    Returns:
        float32 [H, W, 3] in [0, 1].
    Raises:
        ValueError: the factor is below 1, or the map does not fit the photo.
    """
    if not 1 <= factor < np.inf:
        raise ValueError(f"the factor must be 1 or more; received {factor:g}")
    image, sigma_px = check_map(image, sigma_px)
    if factor == 1:
        return image.copy()
    growth = np.sqrt(factor**2 - 1)
    signed_px = -sigma_px if near else sigma_px
    light = to_linear(image) if linear else image
    blurred = blur_by_depth(light, signed_px, lambda signed: growth * np.abs(signed))
    return to_display(blurred) if linear else np.clip(blurred, 0.0, 1.0)

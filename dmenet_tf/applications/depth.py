"""Pseudo-depth: the order of objects along the line of sight, from their blur.

Blur alone is ambiguous: the same sigma occurs behind the plane in focus and in front of it.
Assumed: behind, so depth grows with sigma; with `near`, in front, so it falls. For a photo with
blur on both sides this is wrong: objects in front come out as far away as those behind.

If nothing is known about the camera, depth is relative: 0 the nearest (the plane in focus, or with
`near` the most blurred), 1 the farthest, linear in 1/x as blur itself is. With the camera's
numbers it is a distance, by the thin lens (Lee et al., CVPR 2019, eq. 1) solved for x:

    coc = alpha * |x - S1| / x
    x = S1 / (1 - coc/alpha) behind, S1 / (1 + coc/alpha) in front

A coc of alpha or more would lie beyond infinity: it comes out as infinite.
"""

from dataclasses import dataclass

import numpy as np

from data_gen import optics

PNG_KEY = "DMENet-depth"  # of the text in a PNG of 16 bits: `about`, as JSON
STORED_MAX = 65535
# Specks of noise beyond infinity are not worth a word.
INFINITE_SHARE_SAID = 0.01


@dataclass(frozen=True)
class Camera:
    """What EXIF data may contain: focal length, f-number, focus distance, width of the sensor.

    Raises ValueError for impossible values: all must be above 0, and the focus distance must be
    larger than the focal length.
    """

    focal_length_mm: float
    f_number: float
    focus_distance_m: float
    sensor_width_mm: float = optics.SENSOR_WIDTH_MM

    def __post_init__(self):
        numbers = (self.focal_length_mm, self.f_number, self.focus_distance_m, self.sensor_width_mm)
        if not all(0 < number < np.inf for number in numbers):
            raise ValueError(f"a camera's numbers must be above 0; received {numbers}")
        if self.focus_distance_m * 1000 <= self.focal_length_mm:
            raise ValueError(
                "the focus distance must be larger than the focal length; received "
                f"{self.focus_distance_m:g} m for {self.focal_length_mm:g} mm"
            )


def relative_depth(sigma_px, near=False) -> np.ndarray:
    """float32 [H, W] in [0, 1], 0 = nearest; all 0 where the whole photo has no blur."""
    sigma_px = np.asarray(sigma_px, np.float32)
    depth = sigma_px / max(float(sigma_px.max()), np.finfo(np.float32).tiny)
    return 1.0 - depth if near and sigma_px.max() > 0 else depth


def about(sigma_px, near=False) -> dict:
    """What a 16-bit PNG of `relative_depth` must say of its values: unit, scale, ends."""
    nearest, farthest = "in focus", "the most blurred"
    return {
        "unit": "relative depth: no length; linear in 1/distance, from 0 (nearest) to 1 (farthest)",
        "scale": 1 / STORED_MAX,
        "nearest": farthest if near else nearest,
        "farthest": nearest if near else farthest,
        "sigma_px_of_the_most_blurred": round(float(np.max(sigma_px)), 4),
    }


def metric_depth(sigma_px, camera: Camera, near=False) -> np.ndarray:
    """Distance in metres, float32 [H, W], of a photo as wide as `sigma_px`; inf beyond infinity.

    The photo must be the whole frame: a crop has fewer pixels over the same sensor width.
    """
    coc_px = optics.sigma_to_coc(np.asarray(sigma_px, np.float64))
    alpha_px = _alpha_px(camera, coc_px.shape[1])
    side = 1.0 + coc_px / alpha_px if near else 1.0 - coc_px / alpha_px
    distance = np.full(side.shape, np.inf)
    np.divide(camera.focus_distance_m, side, out=distance, where=side > 0)
    return distance.astype(np.float32)


def beyond_infinity(distance_m, camera: Camera) -> str:
    """What to say of distances of `metric_depth` of which a share is infinite; "" for next to none.

    Such a blur is larger than that of a star: the lens's numbers are not those of the photo, or the
    photo is a crop, or the blurred part is in front of the plane in focus.
    """
    share = float(np.mean(np.isinf(distance_m)))
    if share < INFINITE_SHARE_SAID:
        return ""
    limit_px = optics.coc_to_sigma(_alpha_px(camera, distance_m.shape[1]))
    return (
        f"{share:.0%} of the distances are infinite: through this lens even a star has a blur of "
        f"no more than sigma = {limit_px:.3g} px, and the map has more there. Are the lens's "
        "numbers those of the photo, is it the whole frame, are the blurred parts nearer (--near)?"
    )


def _alpha_px(camera: Camera, width_px: int) -> float:
    """The circle of confusion of a point at infinity, in pixels of a photo of this width."""
    return optics.alpha_from_camera(
        camera.focal_length_mm,
        camera.focus_distance_m * 1000,
        camera.f_number,
        width_px / camera.sensor_width_mm,
    )

"""Pseudo-depth: the order of things along the line of sight, from their blur.

Blur alone has two readings: the same sigma lies behind the plane in focus and in front of it.
Assumed: behind, so depth grows with sigma; with `near`, in front, so it falls. A photo with blur on
both sides cannot be read so: there, things in front come out as far as those behind them.

Where nothing is known of the camera, depth is relative: 0 the nearest (the plane in focus, or with
`near` the most blurred), 1 the farthest, linear in 1/x as blur itself is. With the camera's
numbers it is a distance, by the thin lens (Lee et al., CVPR 2019, eq. 1) solved for x:

    coc = alpha * |x - S1| / x
    x = S1 / (1 - coc/alpha) behind, S1 / (1 + coc/alpha) in front

A blur of alpha or more lies behind infinity: it comes out as infinite.
"""

from dataclasses import dataclass

import numpy as np

from data_gen import optics


@dataclass(frozen=True)
class Camera:
    """What EXIF data may tell: focal length, f-number, focus distance, width of the sensor.

    Raises ValueError where they make no lens: all must be above 0, and the focus distance beyond
    the focal length.
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
                "a lens focuses beyond its focal length; received a focus distance of "
                f"{self.focus_distance_m:g} m for {self.focal_length_mm:g} mm"
            )


def relative_depth(sigma_px, near=False) -> np.ndarray:
    """float32 [H, W] in [0, 1], 0 = nearest; all 0 where the whole photo has no blur."""
    sigma_px = np.asarray(sigma_px, np.float32)
    depth = sigma_px / max(float(sigma_px.max()), np.finfo(np.float32).tiny)
    return 1.0 - depth if near and sigma_px.max() > 0 else depth


def metric_depth(sigma_px, camera: Camera, near=False) -> np.ndarray:
    """Distance in metres, float32 [H, W], of a photo as wide as `sigma_px`; inf beyond infinity.

    The width must be that of the whole frame: a crop of a photo has other pixels per millimetre.
    """
    coc_px = optics.sigma_to_coc(np.asarray(sigma_px, np.float64))
    alpha_px = optics.alpha_from_camera(
        camera.focal_length_mm,
        camera.focus_distance_m * 1000,
        camera.f_number,
        coc_px.shape[1] / camera.sensor_width_mm,
    )
    side = 1.0 + coc_px / alpha_px if near else 1.0 - coc_px / alpha_px
    distance = np.full(side.shape, np.inf)
    np.divide(camera.focus_distance_m, side, out=distance, where=side > 0)
    return distance.astype(np.float32)

"""Every unit conversion and every encoding of the project: plain arithmetic, no TensorFlow.

| name       | meaning                                                      | range         |
| ---------- | ------------------------------------------------------------ | ------------- |
| `depth`    | object distance, any positive unit, larger = farther         | > 0           |
| `coc_px`   | diameter of the circle of confusion, pixels                  | 0 .. 28       |
| `sigma_px` | Gaussian standard deviation, pixels: sigma = coc / 4         | 0 .. 7        |
| `defocus`  | what B predicts and labels hold: coc / 28 = sigma / 7        | 0 .. 1        |

Three encodings of a defocus map are in use (`ENCODINGS`). Each converts between `sigma_px` and the
numbers in its files, and between `sigma_px` and its network label.

The thin lens itself and the samplers of lenses are in `data_gen/rendering/lens.py`; source of both:
Lee et al., CVPR 2019, section 3.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

C_MAX_PX = 28.0
COC_PER_SIGMA = 4.0
SIGMA_MAX_PX = C_MAX_PX / COC_PER_SIGMA
# Blur with a smaller sigma, in pixels that a network sees, counts as none.
SHARP_BELOW_PX = 1.0
SENSOR_WIDTH_MM = 36.0  # of the full frame

# The names of `ENCODINGS`, for options; "auto": as stated by the files, or detected from values.
EncodingName = Literal["paper", "generator", "released"]
EncodingOrAuto = Literal["auto", "paper", "generator", "released"]


# --- the four units; arrays, tensors and numbers alike ---------------------------------------


def coc_to_sigma(coc_px):
    """COC diameter -> Gaussian sigma, both in pixels."""
    return coc_px / COC_PER_SIGMA


def sigma_to_coc(sigma_px):
    """Gaussian sigma -> COC diameter, both in pixels."""
    return sigma_px * COC_PER_SIGMA


def sigma_to_defocus(sigma_px):
    """sigma in pixels, 0 .. 7 -> `defocus`, 0 .. 1."""
    return sigma_px / SIGMA_MAX_PX


def defocus_to_sigma(defocus):
    """`defocus`, 0 .. 1 -> sigma in pixels, 0 .. 7."""
    return defocus * SIGMA_MAX_PX


def coc_to_defocus(coc_px):
    """COC diameter in pixels, 0 .. 28 -> `defocus`, 0 .. 1."""
    return coc_px / C_MAX_PX


def defocus_to_coc(defocus):
    """`defocus`, 0 .. 1 -> COC diameter in pixels, 0 .. 28."""
    return defocus * C_MAX_PX


# --- cameras -----------------------------------------------------------------------------------


def alpha_from_camera(focal_length_mm, focus_distance_mm, f_number, pixels_per_mm):
    """alpha in pixels of a real camera: (f1/S1) * D, f1 = F*S1/(S1 - F), D = F/N."""
    f1_mm = focal_length_mm * focus_distance_mm / (focus_distance_mm - focal_length_mm)
    return f1_mm / focus_distance_mm * (focal_length_mm / f_number) * pixels_per_mm


def f_number_from_alpha(alpha_px, focal_length_mm, focus_distance_mm, pixels_per_mm):
    """Inverse of `alpha_from_camera`: the f-number that gives `alpha_px`."""
    f1_mm = focal_length_mm * focus_distance_mm / (focus_distance_mm - focal_length_mm)
    return f1_mm / focus_distance_mm * focal_length_mm * pixels_per_mm / alpha_px


# --- encodings of the map --------------------------------------------------------------------


@dataclass(frozen=True)
class MapEncoding:
    """How one kind of file stores a map: stored = round(scale * (gain * sigma_px + offset)).

    `label = (gain * sigma_px + offset) / label_max` is what a network trained on it predicts.
    `stored_max` is the max stored value, that of sigma = 7 px.
    """

    name: str
    gain: float
    offset: float
    scale: float
    label_max: float

    @property
    def stored_max(self) -> int:
        return round(self.scale * (self.gain * SIGMA_MAX_PX + self.offset))

    def encode(self, sigma_px):
        """float sigma in pixels, 0..7 -> uint16 as stored in a PNG; ValueError beyond the range."""
        sigma_px = np.asarray(sigma_px, np.float64)
        if sigma_px.size and not (sigma_px.min() >= 0 and sigma_px.max() <= SIGMA_MAX_PX + 1e-4):
            raise ValueError(
                f"sigma_px must lie in [0, {SIGMA_MAX_PX:g}]; "
                f"received values from {sigma_px.min():g} to {sigma_px.max():g}"
            )
        # float32 rounding of the max blur must not yield 65536, which wraps to 0 in 16 bits.
        sigma_px = np.minimum(sigma_px, SIGMA_MAX_PX)
        return np.rint(self.scale * (self.gain * sigma_px + self.offset)).astype(np.uint16)

    def decode(self, stored):
        """Stored integers -> float32 sigma in pixels; ValueError beyond 0 .. `stored_max`."""
        stored = np.asarray(stored)
        if stored.size and not (stored.min() >= 0 and stored.max() <= self.stored_max):
            wrong = stored.min() if stored.min() < 0 else stored.max()
            raise ValueError(
                f"a map in the '{self.name}' encoding holds values up to {self.stored_max}, none "
                f"negative; received {wrong}: is it in another encoding?"
            )
        return self.label_to_sigma(stored.astype(np.float32) / (self.scale * self.label_max))

    def sigma_to_label(self, sigma_px):
        """sigma in pixels -> what a network trained on this encoding predicts, 0 .. 1."""
        return (self.gain * sigma_px + self.offset) / self.label_max

    def label_to_sigma(self, label):
        """A network's label, 0 .. 1 -> float32 sigma in pixels, at least 0."""
        return np.maximum((label * self.label_max - self.offset) / self.gain, 0).astype(np.float32)


ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        # This project and the paper: label = coc/28 = sigma/7, over the whole range of a PNG16.
        MapEncoding("paper", gain=1.0, offset=0.0, scale=65535 / SIGMA_MAX_PX, label_max=7.0),
        # The authors' public generator: round(10*sigma), label = sigma/7.
        MapEncoding("generator", gain=1.0, offset=0.0, scale=10.0, label_max=7.0),
        # Their released dataset and checkpoint: round(10*c), c = 2*sigma + 1 <= 15, label = c/15.
        MapEncoding("released", gain=2.0, offset=1.0, scale=10.0, label_max=15.0),
    )
}

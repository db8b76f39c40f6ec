"""Thin lens, lens sampling, and every unit conversion of the project.

| name       | meaning                                                      | range         |
| ---------- | ------------------------------------------------------------ | ------------- |
| `depth`    | object distance, any positive unit, larger = farther         | > 0           |
| `coc_px`   | diameter of the circle of confusion, pixels                  | 0 .. 28       |
| `sigma_px` | Gaussian standard deviation, pixels: sigma = coc / 4         | 0 .. 7        |
| `defocus`  | what B predicts and labels hold: coc / 28 = sigma / 7        | 0 .. 1        |

Symbols (Lee et al., CVPR 2019, section 3): x object distance, S1 focus distance, F focal length,
N f-number, D = F/N aperture, f1 = F*S1/(S1 - F) image-side focus distance,
alpha = (f1/S1)*D, here always in pixels on the sensor.

Three encodings of a defocus map exist in the world (`ENCODINGS`); each is an encode/decode pair
between `sigma_px` and what its files hold, and between `sigma_px` and its network label.

Functions of tensors import TensorFlow when they are called: whoever wants the units and encodings
alone, as a client of a server does, needs none.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

C_MAX_PX = 28.0
COC_PER_SIGMA = 4.0
SIGMA_MAX_PX = C_MAX_PX / COC_PER_SIGMA
SENSOR_WIDTH_MM = 36.0
FOCAL_LENGTHS_MM = (50.0, 70.0, 85.0)


# --- the four units; arrays, tensors and numbers alike ---------------------------------------


def coc_to_sigma(coc_px):
    return coc_px / COC_PER_SIGMA


def sigma_to_coc(sigma_px):
    return sigma_px * COC_PER_SIGMA


def sigma_to_defocus(sigma_px):
    return sigma_px / SIGMA_MAX_PX


def defocus_to_sigma(defocus):
    return defocus * SIGMA_MAX_PX


def coc_to_defocus(coc_px):
    return coc_px / C_MAX_PX


def defocus_to_coc(defocus):
    return defocus * C_MAX_PX


# --- thin lens -------------------------------------------------------------------------------


class Lens(NamedTuple):
    """A focused lens. `focus_distance` in the unit of the depth map; `alpha_px` in pixels.

    A circle of confusion up to `sharp_coc_px` counts as sharp: 0 in the paper, 1 in the authors'
    public generator.
    """

    focus_distance: "tf.Tensor | float"
    alpha_px: "tf.Tensor | float"
    sharp_coc_px: float = 0.0


def signed_coc_px(depth, lens: Lens):
    """Eq. 1 without its absolute value: negative in front of the focus plane, increasing in x."""
    return lens.alpha_px * (depth - lens.focus_distance) / depth  # Eq. 1


def blur_coc_px(signed_coc, lens: Lens):
    """Diameter that actually blurs, from the signed one: |coc| beyond what counts as sharp."""
    import tensorflow as tf

    return tf.maximum(tf.abs(signed_coc) - lens.sharp_coc_px, 0.0)


def defocus_map(depth, lens: Lens):
    """The label of a depth map under a lens, per pixel and unblurred, in [0, 1]."""
    import tensorflow as tf

    coc_px = blur_coc_px(signed_coc_px(depth, lens), lens)
    return tf.minimum(coc_to_defocus(coc_px), 1.0)


def alpha_from_camera(focal_length_mm, focus_distance_mm, f_number, pixels_per_mm):
    """alpha in pixels of a real camera: (f1/S1) * D, f1 = F*S1/(S1 - F), D = F/N."""
    f1_mm = focal_length_mm * focus_distance_mm / (focus_distance_mm - focal_length_mm)
    return f1_mm / focus_distance_mm * (focal_length_mm / f_number) * pixels_per_mm


def f_number_from_alpha(alpha_px, focal_length_mm, focus_distance_mm, pixels_per_mm):
    """Inverse of `alpha_from_camera`: the f-number that gives `alpha_px`."""
    f1_mm = focal_length_mm * focus_distance_mm / (focus_distance_mm - focal_length_mm)
    return f1_mm / focus_distance_mm * focal_length_mm * pixels_per_mm / alpha_px


# --- lens sampling ---------------------------------------------------------------------------


def largest_alpha_px(near, far, focus_distance, c_max_px=C_MAX_PX):
    """alpha_up: under it no depth between `near` and `far` has a COC above `c_max_px`.

    A flat scene in focus can be blurred by no aperture: there alpha_up is infinite by the
    formula, and 0 here, so that its samples are sharp instead of NaN.
    """
    import tensorflow as tf

    reach = tf.maximum((far - focus_distance) / far, (focus_distance - near) / near)
    return tf.math.divide_no_nan(c_max_px, reach)  # section 3.1 of the paper


def sample_lens_paper(seed, near, far) -> Lens:
    """The paper's sampler: S1 ~ U[x_near, x_far], alpha ~ U[0, alpha_up], c_max = 28 px.

    `seed`: int32 [2], stateless. `near`, `far`: bounds of the whole depth map.
    """
    import tensorflow as tf

    u = tf.random.stateless_uniform([2], seed)
    focus = near + (far - near) * u[0]
    return Lens(focus, u[1] * largest_alpha_px(near, far, focus), 0.0)


def sample_lens_generator(seed, near, far) -> Lens:
    """The authors' public generator: aperture solved so that the largest COC is 29 px.

    A COC of 1 px is sharp, so the largest sigma is again 7 px. S1 is weighted to the near half:
    its density falls linearly to 0 at x_far, so three draws of four lie in the near half (the
    published description gives no exact weights). The generator also draws F from
    `FOCAL_LENGTHS_MM`; with the aperture solved for, F changes the f-number and not the image
    (see `f_number_from_alpha`).
    """
    import tensorflow as tf

    u = tf.random.stateless_uniform([], seed)
    focus = near + (far - near) * (1.0 - tf.sqrt(1.0 - u))
    return Lens(focus, largest_alpha_px(near, far, focus, C_MAX_PX + 1.0), 1.0)


LENS_SAMPLERS = {"paper": sample_lens_paper, "generator": sample_lens_generator}


# --- encodings of the map --------------------------------------------------------------------


@dataclass(frozen=True)
class MapEncoding:
    """How one family of files stores a map: stored = round(scale * (gain * sigma_px + offset)).

    `label = (gain * sigma_px + offset) / label_max` is what a network trained on it predicts.
    `stored_max` is the largest legal stored value: that of sigma = 7 px.
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
        """float sigma in pixels, 0..7 -> uint16 as stored in a PNG."""
        sigma_px = np.asarray(sigma_px, np.float64)
        if sigma_px.size and not (sigma_px.min() >= 0 and sigma_px.max() <= SIGMA_MAX_PX + 1e-4):
            raise ValueError(
                f"sigma_px must lie in [0, {SIGMA_MAX_PX:g}]; "
                f"received values from {sigma_px.min():g} to {sigma_px.max():g}"
            )
        return np.rint(self.scale * (self.gain * sigma_px + self.offset)).astype(np.uint16)

    def decode(self, stored):
        """Stored integers -> float32 sigma in pixels. A value above `stored_max` is an error."""
        stored = np.asarray(stored)
        if stored.size and stored.max() > self.stored_max:
            raise ValueError(
                f"a map in the '{self.name}' encoding holds values up to {self.stored_max}; "
                f"received {stored.max()}: is it in another encoding?"
            )
        return self.label_to_sigma(stored.astype(np.float32) / (self.scale * self.label_max))

    def sigma_to_label(self, sigma_px):
        return (self.gain * sigma_px + self.offset) / self.label_max

    def label_to_sigma(self, label):
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

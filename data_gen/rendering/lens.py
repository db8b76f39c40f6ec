"""The thin lens and the samplers of lenses, as TensorFlow operations.

Symbols (Lee et al., CVPR 2019, section 3): x object distance, S1 focus distance, F focal length,
N f-number, D = F/N aperture, f1 = F*S1/(S1 - F) image-side focus distance,
alpha = (f1/S1)*D, here always in pixels on the sensor. Units: `data_gen/optics.py`.
"""

from typing import NamedTuple

import tensorflow as tf

from data_gen.optics import C_MAX_PX, coc_to_defocus

FOCAL_LENGTHS_MM = (50.0, 70.0, 85.0)


class Lens(NamedTuple):
    """A focused lens. `focus_distance` in the unit of the depth map; `alpha_px` in pixels.

    A circle of confusion up to `sharp_coc_px` counts as sharp: 0 in the paper, 1 in the authors'
    public generator.
    """

    focus_distance: tf.Tensor | float
    alpha_px: tf.Tensor | float
    sharp_coc_px: float = 0.0


def signed_coc_px(depth, lens: Lens):
    """Eq. 1 without its absolute value: negative in front of the focus plane, increasing in x."""
    return lens.alpha_px * (depth - lens.focus_distance) / depth  # Eq. 1


def blur_coc_px(signed_coc, lens: Lens):
    """Blur diameter from the signed one: |coc| minus the diameter that still counts as sharp."""
    return tf.maximum(tf.abs(signed_coc) - lens.sharp_coc_px, 0.0)


def defocus_map(depth, lens: Lens):
    """The label of a depth map under a lens, per pixel and unblurred, in [0, 1]."""
    coc_px = blur_coc_px(signed_coc_px(depth, lens), lens)
    return tf.minimum(coc_to_defocus(coc_px), 1.0)


# --- lens sampling ---------------------------------------------------------------------------


def max_alpha_px(near, far, focus_distance, c_max_px=C_MAX_PX):
    """alpha_up: the alpha at which the largest COC between `near` and `far` is `c_max_px`.

    No aperture can blur a flat scene in focus: alpha_up is infinite by the formula, and 0 here, so
    that its samples are sharp instead of NaN.
    """
    reach = tf.maximum((far - focus_distance) / far, (focus_distance - near) / near)
    return tf.math.divide_no_nan(c_max_px, reach)  # section 3.1 of the paper


def sample_lens_paper(seed, near, far) -> Lens:
    """The paper's sampler: S1 ~ U[x_near, x_far], alpha ~ U[0, alpha_up], c_max = 28 px.

    `seed`: int32 [2], stateless. `near`, `far`: bounds of the whole depth map.
    """
    u = tf.random.stateless_uniform([2], seed)
    focus = near + (far - near) * u[0]
    return Lens(focus, u[1] * max_alpha_px(near, far, focus), 0.0)


def sample_lens_generator(seed, near, far) -> Lens:
    """The authors' public generator: aperture solved so that the largest COC is 29 px.

    A COC of 1 px is sharp, so the largest sigma is again 7 px. S1 is weighted to the near half:
    its density falls linearly to 0 at x_far, so three draws of four lie in the near half (the
    published description gives no exact weights). The generator also draws F from
    `FOCAL_LENGTHS_MM`; with the aperture solved for, F changes the f-number and not the image
    (see `optics.f_number_from_alpha`).
    """
    u = tf.random.stateless_uniform([], seed)
    focus = near + (far - near) * (1.0 - tf.sqrt(1.0 - u))
    return Lens(focus, max_alpha_px(near, far, focus, C_MAX_PX + 1.0), 1.0)


LENS_SAMPLERS = {"paper": sample_lens_paper, "generator": sample_lens_generator}

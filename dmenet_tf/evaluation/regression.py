"""`rtf`, `syndof` and `segments`: a map with a unit against a map in the same unit.

Maps and truth are sigma in pixels of the photo, clipped to [0, sigma_max] and divided by it
(Lee et al., CVPR 2019, section 4). A network that saw a photo reduced by s tells sigma in pixels of
the reduced one; its map is divided by s.
"""

import functools
from collections.abc import Sequence

import numpy as np

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from dmenet_tf import metrics
from dmenet_tf.evaluation import baselines, opening
from dmenet_tf.evaluation.specification import (
    ALWAYS_BLURRED,
    Figure,
    Measured,
    Protocol,
    Summary,
    means,
)

BEST_CONSTANT = "best constant (oracle)"
RTF_SIGMA_MAX_PX = 3.275
ERRORS = (Figure("mse", "MSE", False), Figure("mae", "MAE", False))
# c/15 = (2 sigma + 1)/15 = (14 defocus + 1)/15: errors of the authors' released label.
RELEASED_SHARE = 14 / 15


def share_of_sigma(sigma_px, sigma_max_px: float) -> np.ndarray:
    """sigma in pixels -> float32 in [0, 1], 1 = sigma_max_px and above."""
    return np.float32(np.clip(sigma_px, 0.0, sigma_max_px) / sigma_max_px)


def _map(sigma_max_px: float, label, encoding: str, scale: float) -> np.ndarray:
    return share_of_sigma(ENCODINGS[encoding].label_to_sigma(label) / scale, sigma_max_px)


def _log_laplacian(sigma_max_px: float, image) -> np.ndarray:
    return share_of_sigma(baselines.log_laplacian_sigma_px(image), sigma_max_px)


def best_constant(truth_means: Sequence[float]) -> dict:
    """The constant with the least MSE, from the mean of each image's truth."""
    constant = float(np.mean(truth_means))  # of the mean over images: each counts the same

    def predict(image):
        return np.full(image.shape[:2], constant, np.float32)

    return {f"{BEST_CONSTANT}: {constant:.3f}": predict}


def _measure(predicted, truth) -> Measured:
    return Measured(
        {
            "mse": metrics.mean_squared_error(predicted, truth),
            "mae": metrics.mean_absolute_error(predicted, truth),
        }
    )


def _measure_segments(predicted, truth) -> Measured:
    contrast = {"contrast": metrics.contrast_kept(predicted, truth)}
    return Measured(_measure(predicted, truth).figures | contrast)


def _summarise(measured: Sequence[Measured]) -> Summary:
    return Summary(*means(measured))


def _summarise_syndof(measured: Sequence[Measured]) -> Summary:
    figures, defined = means(measured)
    figures["mse_15"] = figures["mse"] * RELEASED_SHARE**2
    figures["mae_15"] = figures["mae"] * RELEASED_SHARE
    return Summary(figures, defined)


def _protocol(sigma_max_px: float, rules=(), **own) -> Protocol:
    """What the three have in common; `own` comes on top."""
    common = {
        "map": functools.partial(_map, sigma_max_px),
        "truth": np.float32,
        "measure": _measure,
        "summarise": _summarise,
        "figures": ERRORS,
        "error": lambda figures: figures["mse"],
        "error_title": "MSE",
        "baselines": {
            ALWAYS_BLURRED: baselines.always_blurred,
            baselines.LOG_LAPLACIAN: functools.partial(_log_laplacian, sigma_max_px),
        },
        "oracle": best_constant,
        "sigma_max_px": sigma_max_px,
        "rules": (
            f"Maps and truth are sigma in pixels of the photo, clipped to [0, {sigma_max_px:g}] "
            f"and divided by {sigma_max_px:g}. MSE and MAE are means over the pixels of an image, "
            "then over the images.",
            f"{baselines.LOG_LAPLACIAN}: sigma from the Laplacian energies at two scales under a "
            "1/f^2 spectrum, at full size; it sees no truth. "
            f"{BEST_CONSTANT}: the value with the least MSE, taken from the truth; no method "
            "without the truth can know it.",
            *rules,
        ),
    }
    return Protocol(**(common | own))


RTF = _protocol(
    RTF_SIGMA_MAX_PX,
    name="rtf",
    samples=opening.rtf_photos,
    truth=functools.partial(share_of_sigma, sigma_max_px=RTF_SIGMA_MAX_PX),
    options=("radius_table",),
)
SYNDOF = _protocol(
    SIGMA_MAX_PX,
    name="syndof",
    samples=opening.rendered_scenes,
    summarise=_summarise_syndof,
    figures=(
        *ERRORS,
        Figure("mse_15", "MSE in /15 units", False, of_image=False),
        Figure("mae_15", "MAE in /15 units", False, of_image=False),
    ),
    rules=(
        "In /15 units: the same errors of c/15, c = 2 sigma + 1, the label of the authors' "
        "released data, in which the paper's figures (MSE 0.013, MAE 0.084) were measured: "
        "MSE x (14/15)^2, MAE x 14/15.",
    ),
    options=("count", "seed", "sampler", *opening.HOW_FILES_ARE_READ, "held_out"),
)
SEGMENTS = _protocol(
    SIGMA_MAX_PX,
    name="segments",
    samples=opening.rendered_segments,
    measure=_measure_segments,
    figures=(*ERRORS, Figure("contrast", "contrast kept", True)),
    rules=(
        "Contrast kept: over all pairs of pixels 8 px apart in a row or a column whose true "
        "defocus differs by 0.1 or more, the sum of the predicted steps in the true direction over "
        "the sum of the true ones. 1 keeps every step of the border between two segments, 0 none.",
    ),
    options=("count", "seed", "sampler"),
)

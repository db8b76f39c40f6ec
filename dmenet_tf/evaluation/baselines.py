"""Maps without training: baselines that a trained network has to beat.

Every function takes one photo, uint8 [H, W, 3] RGB, and returns float32 [H, W]; none sees the
true map.

- `always_blurred`: `defocus` 1 everywhere.
- `laplacian_score`: what anyone would try first. Energy E = G_16 * (laplacian(grey))^2 with the
  Laplacian of 3 x 3 pixels and a window of 16 px, at the photo's full size; -log E ranks pixels.
- Energy of the Laplacian of Gaussian: what is in focus has fine detail. With G_s a Gaussian of s
  pixels, the energy at scale s is E_s = G_8 * (laplacian(G_s * grey))^2. Borders are symmetric.
  `log_laplacian_score` ranks pixels by -log E_1. `log_laplacian_sigma_px` gives pixels: natural
  images have a power spectrum close to 1/f^2; blurred by sigma, that gives
  E_s ~ contrast / (s^2 + sigma^2)^2, and in the ratio of two scales the contrast cancels:

      sqrt(E_1 / E_4) = (4^2 + sigma^2) / (1^2 + sigma^2)

All leave out what 8-bit rounding alone makes of a flat area, white noise of variance
(1/255)^2 / 12: its energy at scale s is that times 1 / (2 pi s^6), and in the Laplacian of
3 x 3 pixels, the sum of whose squared weights is 4 * 1 + 16, that times 20.
"""

import cv2
import numpy as np

from data_gen.optics import SIGMA_MAX_PX
from dmenet_tf import metrics

LAPLACIAN = "3x3 Laplacian, window 16 px"
LOG_LAPLACIAN = "log-Laplacian energy"
FINE_PX, COARSE_PX, WINDOW_PX = 1.0, 4.0, 8.0
PLAIN_WINDOW_PX = 16.0
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12


def always_blurred(image) -> np.ndarray:
    """`defocus` 1, the most blurred, at every pixel."""
    return np.ones(image.shape[:2], np.float32)


def laplacian_score(image) -> np.ndarray:
    """-log of the 3 x 3 Laplacian's energy, stretched to 0 (finest detail) .. 1 in each image.

    1 everywhere where all pixels have the same energy.
    """
    detail = cv2.Laplacian(_grey(image), cv2.CV_64F, ksize=1, borderType=cv2.BORDER_REFLECT)
    return _score(_averaged(detail**2, PLAIN_WINDOW_PX), 20 * ROUNDING_VARIANCE)


def log_laplacian_score(image) -> np.ndarray:
    """-log of the energy at 1 px, stretched as in `laplacian_score`."""
    return _score(_energy(_grey(image), FINE_PX), _rounding_energy(FINE_PX))


def _score(energy, rounding_energy: float) -> np.ndarray:
    if np.ptp(energy) == 0:
        return np.ones(energy.shape, np.float32)
    return np.float32(metrics.min_max(-np.log(energy + rounding_energy)))


def log_laplacian_sigma_px(image) -> np.ndarray:
    """sigma in pixels, 0 .. 7, from the energies at two scales; 7 where no detail is left."""
    grey = _grey(image)
    fine = np.maximum(_energy(grey, FINE_PX) - _rounding_energy(FINE_PX), 0.0)
    coarse = np.maximum(_energy(grey, COARSE_PX) - _rounding_energy(COARSE_PX), 0.0)
    root = np.sqrt(np.divide(fine, coarse, out=np.ones_like(fine), where=coarse > 0))
    # A ratio of 1 means infinite blur, a smaller one is noise; 16 or more means sharp.
    above = np.maximum(root - 1.0, 1e-9)
    variance = (COARSE_PX**2 - root * FINE_PX**2) / above
    return np.float32(np.sqrt(np.clip(variance, 0.0, SIGMA_MAX_PX**2)))


def _grey(image) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float64) / 255.0


def _energy(grey: np.ndarray, scale_px: float) -> np.ndarray:
    from scipy.ndimage import gaussian_laplace

    return _averaged(gaussian_laplace(grey, scale_px) ** 2, WINDOW_PX)


def _averaged(plane: np.ndarray, window_px: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # takes longer to import than `--help` may

    return gaussian_filter(plane, window_px)


def _rounding_energy(scale_px: float) -> float:
    return ROUNDING_VARIANCE / (2 * np.pi * scale_px**6)

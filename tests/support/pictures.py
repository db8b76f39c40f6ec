"""Pictures made of nothing."""

import numpy as np


def photo(height, width, seed=0):
    """Noise of several scales: something to see for every level of the network."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for scale in (1, 4, 16, 64):
        coarse = rng.random((height // scale + 1, width // scale + 1, 3))
        image += coarse.repeat(scale, 0).repeat(scale, 1)[:height, :width]
    return np.uint8(image / 4 * 255)

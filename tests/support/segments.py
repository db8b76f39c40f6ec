"""Segmented photos as BSDS500 stores them."""

import numpy as np
import scipy.io

from data_gen.io.images import write_png

RNG = np.random.default_rng(0)


def photo(height=20, width=24):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def write_segments(root, stem, *people):
    """One photo with segmentations, as BSDS500 files hold them."""
    write_png(root / "images" / "train" / f"{stem}.png", photo(*people[0].shape))
    cells = np.empty((1, len(people)), object)
    for number, labels in enumerate(people):
        person = np.empty((1, 1), [("Segmentation", object), ("Boundaries", object)])
        person[0, 0]["Segmentation"] = labels.astype(np.uint16)
        person[0, 0]["Boundaries"] = np.zeros(labels.shape, np.uint8)
        cells[0, number] = person
    path = root / "groundTruth" / "train" / f"{stem}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"groundTruth": cells})
    return path


def halves(height=20, width=24, count=2):
    return np.repeat(np.arange(1, count + 1), -(-width // count))[None, :width].repeat(height, 0)

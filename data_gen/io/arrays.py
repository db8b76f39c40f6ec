"""Arrays in .npy files, written atomically."""

import numpy as np

from data_gen.io.atomic import write_atomic


def write_npy(path, array: np.ndarray) -> None:
    """Writes an array of any shape and type atomically, under exactly this name."""

    def save(temporary):
        with open(temporary, "wb") as file:  # given a name, np.save would append .npy to it
            np.save(file, array)

    write_atomic(path, save)

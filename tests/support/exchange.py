"""Tensors from one process to another through a file: arrays, and lists of byte strings.

Needs NumPy alone, of any age: the other process may have another TensorFlow, or none. No pickles,
which NumPy 1 and 2 do not share, and no NumPy strings, which lose zeros at their ends.
"""

import numpy as np

_ITEM = ":bytes:"


def write(path, tensors) -> None:
    """`tensors`: {name: an array of numbers, or a list of bytes}."""
    arrays = {}
    for name, value in tensors.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            arrays[name] = value
        else:
            for i, data in enumerate(value):
                arrays[f"{name}{_ITEM}{i}"] = np.frombuffer(data, np.uint8)
    np.savez(path, **arrays)


def read(path) -> dict:
    """What `write` was given, in its order."""
    tensors = {}
    with np.load(path) as archive:
        for key in archive.files:
            name, item, _ = key.partition(_ITEM)
            if item:
                tensors.setdefault(name, []).append(archive[key].tobytes())
            else:
                tensors[name] = archive[key]
    return tensors

"""Iteration over a tf.data pipeline that ends with its block.

A pipeline reads ahead: while a step runs, TensorFlow's threads call the Python functions that read
images. If the interpreter shuts down in the meantime, these threads wait for it and it waits for
them, for ever. An iterator ends only when nothing refers to it any more, and after an exception
the traceback still does. So every pipeline with Python functions is iterated over in a block:

    with Elements(dataset) as elements:
        for element in elements:
            ...
"""

import traceback

import tensorflow as tf

from data_gen import interrupts


class Elements:
    """The elements of a dataset. After the block, no function of its pipeline runs any more.
    Between two of them, an interrupt that was lost is raised.

    An error that leaves the block keeps its traceback, but the variables of the frames in it that
    are already left are gone.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self._iterator = iter(dataset)

    def __enter__(self) -> "Elements":
        return self

    def __iter__(self) -> "Elements":
        return self

    def __next__(self):
        interrupts.check()
        return next(self._iterator)

    def __exit__(self, kind, error, trace) -> None:
        _forget_variables(error)
        # The last reference: waits for the calls under way, which may use the interpreter.
        self._iterator = iter(())


def _forget_variables(error: BaseException | None) -> None:
    """Clears the frames of an error and of those that it was raised from."""
    errors, seen = [error], set()
    while errors:
        error = errors.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            traceback.clear_frames(error.__traceback__)
            errors += [error.__cause__, error.__context__]

"""An iteration that has ended has no Python function of its pipeline running."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.data.iteration import Elements


class Pipeline:
    """Counts the calls of a Python function that a pipeline reads ahead with."""

    def __init__(self, broken=None):
        self.lock, self.begun, self.running, self.broken = threading.Lock(), 0, 0, broken

    def read(self, number):
        with self.lock:
            self.begun, self.running = self.begun + 1, self.running + 1
        try:
            time.sleep(0.02)
            if number == self.broken:
                raise ValueError(f"number {number} is broken")
            return np.float32(number)
        finally:
            with self.lock:
                self.running -= 1

    def dataset(self):
        numbers = tf.data.Dataset.range(10**6).map(
            lambda number: tf.numpy_function(self.read, [number], tf.float32, stateful=False),
            num_parallel_calls=4,
            deterministic=True,
        )
        return numbers.prefetch(4)


class Stop(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


def finish(elements):
    for value in elements:
        if value == 3:
            return


def stop(elements):
    for value in elements:
        if value == 3:
            raise Stop


def stop_from_another(elements):
    try:
        stop(elements)
    except Stop as error:
        raise OSError("from another") from error


def read_all(elements):
    for _ in elements:
        pass


@pytest.mark.parametrize(
    "use, raised", [(finish, None), (stop, Stop), (stop_from_another, OSError),
                    (read_all, tf.errors.OpError)],
)  # fmt: skip
def test_nothing_runs_after_the_block(use, raised):
    pipeline = Pipeline(broken=12 if use is read_all else None)
    kept = None
    try:
        with Elements(pipeline.dataset()) as elements:
            use(elements)
    except BaseException as error:  # whose traceback is kept, as the interpreter's own last one
        kept = error
    assert type(kept) is type(None) if raised is None else isinstance(kept, raised)
    assert pipeline.running == 0
    begun = pipeline.begun
    assert begun > 3
    # Whatever had still been reading ahead would now go on.
    assert len(list(tf.data.Dataset.range(3).map(
        lambda number: tf.numpy_function(Pipeline().read, [number], tf.float32)
    ))) == 3  # fmt: skip
    assert pipeline.begun == begun


def test_elements_are_those_of_the_dataset():
    with Elements(tf.data.Dataset.range(3)) as elements:
        assert [int(value) for value in elements] == [0, 1, 2]
    with Elements(tf.data.Dataset.range(3)) as elements:
        assert int(next(elements)) == 0
    assert list(elements) == []

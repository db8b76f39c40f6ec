"""Training on several devices: the strategy of tf.distribute, and what its replicas do together.

    none           one device: the first GPU, or the processor
    mirrored       all GPUs of this machine, a replica on each
    multi-worker   the same on several machines, a process on each; TF_CONFIG names them

`data.batch` is global: the images of each domain in a step of all replicas together. Replica r of N
takes examples r, r + N, ... of a batch, so N replicas see the very examples that one sees. Each
normalises its share of each domain as a batch of its own. Gradients are averaged before an
optimizer sees them, and so is what moving statistics follow: after every step all replicas hold the
same weights, optimizers and statistics.

A step is a function that every replica runs. In `mean` they wait for each other; in `once`
variables are updated, which a strategy does outside of its replicas.
"""

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.data.streams import Share
from dmenet_tf.networks.layers import moving_statistics_postponed

NONE, MIRRORED, MULTI_WORKER = "none", "mirrored", "multi-worker"
CLUSTER = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
)


class Worker(NamedTuple):
    """One of the processes that train together; the first is the chief, which writes the run."""

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0


def this_worker(kind: str, environment: Mapping[str, str] = os.environ) -> Worker:
    """Which worker this process is.

    Raises ValueError unless TF_CONFIG has a cluster of workers alone, and a task among them.
    """
    if kind != MULTI_WORKER:
        return Worker()
    text = environment.get(CLUSTER, "")
    try:
        given = json.loads(text)
        addresses, task = given["cluster"]["worker"], given["task"]
        index, others = int(task["index"]), set(given["cluster"]) - {"worker"}
        if others or task["type"] != "worker" or not 0 <= index < len(addresses):
            raise ValueError(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"training.strategy {MULTI_WORKER!r} needs {CLUSTER} in the environment, such as "
            f"{EXAMPLE}; received {text or 'none'}"
        ) from error
    return Worker(index, len(addresses))


class Group:
    """All replicas of a training, of which this process has some.

    strategy: of tf.distribute; networks and optimizers are to be built in its scope.
    share: which examples this process draws; None: all, there being one replica.
    """

    def __init__(self, strategy=None, worker: Worker | None = None):
        self.worker, self.share = worker or Worker(), None
        self.strategy = tf.distribute.get_strategy() if strategy is None else strategy
        if strategy is not None:
            replicas = strategy.num_replicas_in_sync
            here = replicas // self.worker.count
            self.share = Share(self.worker.index * here, here, replicas)

    @classmethod
    def of(cls, kind: str, worker: Worker, batch: int) -> "Group":
        """That of `training.strategy`; to be made before TensorFlow computes anything.

        Waits for all workers. Raises ValueError where `batch`, that of all replicas, cannot be
        divided among them, and on Keras 2.
        """
        if kind == NONE:
            return cls()
        if not keras_versions.IS_KERAS_3:
            raise ValueError(f"training.strategy {kind!r} needs Keras 3; received Keras 2")
        if kind == MIRRORED:
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        else:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        replicas = strategy.num_replicas_in_sync
        if batch % replicas:
            raise ValueError(
                "data.batch, the images of each domain in a step of all replicas, must be a "
                f"multiple of their number; received {batch} for {replicas} replicas"
            )
        return cls(strategy, worker)

    def begin_alike(self, what: str, trainer) -> None:
        """Gives every worker the chief's weights, once all have been asked for the same.

        what: the configuration and the step to begin with. Raises ValueError where they differ.
        """
        if self.worker.count == 1:
            return
        # Whole numbers below 2^16, whose mean over up to 256 replicas is exact if they are equal.
        digest = np.frombuffer(hashlib.sha256(what.encode()).digest(), np.uint16)
        digest = digest.astype(np.float32)
        if (self._everywhere(lambda: mean(tf.identity(digest))).numpy() != digest).any():
            raise ValueError(
                "all workers of a run must be given the same options, and begin at the same step; "
                "received others"
            )
        models = [model for model in trainer.networks if model is not None]
        variables = [variable for model in models for variable in model.weights]

        def of_the_chief():
            context = tf.distribute.get_replica_context()
            mine = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.float32)
            values = [mine * tf.convert_to_tensor(variable) for variable in variables]
            return _exchanged(values, tf.distribute.ReduceOp.SUM)

        for variable, value in zip(variables, self._everywhere(of_the_chief), strict=True):
            variable.assign(value)

    def wait(self) -> None:
        """Until all workers are here: none leaves while another is still at work."""
        if self.worker.count > 1:
            float(self._everywhere(lambda: mean(tf.ones([1])))[0])

    def _everywhere(self, function: Callable):
        """What `function` gives on the first replica here, all replicas running it."""
        strategy = self.strategy

        @tf.function(autograph=False)
        def run():
            return tf.nest.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], strategy.run(function)
            )

        return run()


# --- in a step ------------------------------------------------------------------------------------


def mean(values):
    """A nest of float32 tensors, averaged over all replicas in one exchange."""
    if not tf.distribute.has_strategy():
        return values
    return _exchanged(values, tf.distribute.ReduceOp.MEAN)


def _exchanged(values, operation):
    flat = tf.nest.flatten(values)
    vector = tf.concat([tf.reshape(value, [-1]) for value in flat], axis=0)
    vector = tf.distribute.get_replica_context().all_reduce(operation, vector)
    parts = tf.split(vector, [value.shape.num_elements() for value in flat])
    parts = [tf.reshape(part, value.shape) for part, value in zip(parts, flat, strict=True)]
    return tf.nest.pack_sequence_as(values, parts)


def once(function: Callable, *values):
    """Calls `function` on values that all replicas share, once for all of them.

    There, variables may be updated. Its result is the first replica's; the others get None.
    """
    if not tf.distribute.has_strategy():
        return function(*values)
    results = []
    tf.distribute.get_replica_context().merge_call(
        lambda _, *values: results.append(function(*values)), args=values
    )
    return results[0] if results else None


def replicated(step: Callable, end: Callable) -> Callable:
    """A step of all replicas: `step`, what moves the statistics, then `end`, once for all.

    Args:
        step: batch of a replica -> {name: scalar}.
        end: what is done after it.
    Returns:
        A function of the batches of the replicas here, a tuple (without a strategy of the batch
        itself), -> the scalars, averaged over all replicas.
    """
    if not tf.distribute.has_strategy():

        def alone(batch):
            report = step(batch)
            end()
            return report

        return alone
    strategy = tf.distribute.get_strategy()

    def on_replica(batch):
        with moving_statistics_postponed() as moves:
            report = step(batch)
        report, values = mean((report, [move.value for move in moves]))
        once(lambda *values: _move(moves, values), *values)
        once(end)
        return report

    def on_all(batches):
        values = strategy.experimental_distribute_values_from_function(
            lambda context: batches[context.replica_id_in_sync_group % len(batches)]
        )
        report = strategy.run(on_replica, args=(values,))
        return {name: strategy.experimental_local_results(v)[0] for name, v in report.items()}

    return on_all


def _move(moves, values) -> None:
    strategy = tf.distribute.get_strategy()
    for move, value in zip(moves, values, strict=True):
        variable = keras_versions.tensorflow_variable(move.variable)
        strategy.extended.update(variable, move.towards, args=(value,), group=False)


# --- a worker that is gone ------------------------------------------------------------------------

# A process that ends closes its connections, which the others notice at once. One that stands
# still, or whose machine is gone, is given up after TensorFlow's heartbeat timeout, ten seconds.
GONE = (
    "all workers of a run train together, and one of them is gone: start all of them again, "
    "with --resume"
)


def is_of_lost_worker(error: Exception) -> bool:
    """Whether TensorFlow says that a worker for which this one waited is gone."""
    kinds = (
        tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )  # fmt: skip
    return isinstance(error, kinds) or (
        isinstance(error, tf.errors.OpError) and "ollective" in (error.message or "")
    )


@contextlib.contextmanager
def interrupts_postponed():
    """Within it, Ctrl-C and SIGTERM wait: half a step of several workers cannot be saved."""
    received, numbers = [], (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda *_: received.append(True)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt

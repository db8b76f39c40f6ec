"""One version of a model in memory: a SavedModel in a session of its own.

Loaded by the session loader, as TensorFlow Serving does, and not by `tf.saved_model.load`: a
session owns what it created, so closing it frees everything, batch queues and their threads
included, and versions can come and go for weeks. Values and speed are the same.

A batch goes through TensorFlow's batch function (`BatchFunction`, of
`tf.nondifferentiable_batch_function`) around the function of a signature. It concatenates along the
first axis whatever meets in one of its queues. What may meet is decided before
(`embedded/scheduling.py`): there is one queue for each batch size and place of execution, and a
place holds one batch at a time, of one shape. So there are a few queues whatever shapes come, none
mixes two, and as a queue knows the size of the batch to come, it starts without delay when the
last member arrives.

Each batch function holds its own copy of the graph and its constants, and warming it up takes as
long as loading: negligible for a narrow network, 1.6 GB each for the paper's width. And batches
help only with small images (up to about 128 px on two cores; above, two executions at a time keep
the cores busy). So they are off by default (`max_batch`).
"""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving import contract

SERVE_TAG = "serve"
# How long a member that never arrives (its thread died) can hold up the others.
_BATCH_TIMEOUT_US = 1_000_000
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MESSAGE_CHARACTERS = 300
_HEADINGS = ("Detected at", "Graph execution error")  # of messages, above what happened


class UnknownSignature(ValueError):
    """The model has no signature of this name; the message lists those it has."""


class Signature:
    """Named tensors in, named tensors out. `inputs`, `outputs`: name -> TensorInfo."""

    def __init__(self, name: str, definition, session, places: int, max_batch: int):
        self.name = name
        self.inputs, self.outputs = dict(definition.inputs), dict(definition.outputs)
        tensor = session.graph.get_tensor_by_name
        feeds = [tensor(info.name) for info in self.inputs.values()]
        fetches = [tensor(info.name) for info in self.outputs.values()]
        self._alone = session.make_callable(fetches, feed_list=feeds)
        self._batched = {}
        if max_batch > 1 and self._can_be_batched(feeds, fetches):
            for size in _powers_of_two(max_batch):
                for place in range(places):
                    outputs = _batch_function(name, feeds, fetches, size, place, places)
                    self._batched[size, place] = session.make_callable(outputs, feed_list=feeds)

    @property
    def batches(self) -> list[tuple[int, int]]:
        """(size, place) of each batch function."""
        return list(self._batched)

    def run(self, arrays: dict, batch=None) -> dict:
        """Arrays by name -> arrays by name.

        `batch`: None for a run of its own, or what has `size` and `place`: a batch that as many
        threads at once take part in, with a run each.
        """
        feeds = [arrays[name] for name in self.inputs]
        call = self._batched[batch.size, batch.place] if batch and batch.size > 1 else self._alone
        return dict(zip(self.outputs, call(*feeds), strict=True))

    def _can_be_batched(self, feeds, fetches) -> bool:
        """One numeric input, all outputs from one function call, a free first axis.

        Encoded files are not batched: the model decodes them one by one, so a batch gains nothing.
        """
        call = fetches[0].op
        free = [*self.inputs.values(), *self.outputs.values()]
        return (
            len(feeds) == 1
            and feeds[0].dtype != tf.string
            and call.type in _CALLS
            and all(fetch.op is call for fetch in fetches)
            and any(feed is feeds[0] for feed in call.inputs)
            and all(info.tensor_shape.dim and info.tensor_shape.dim[0].size == -1 for info in free)
        )


class LoadedModel:
    """The SavedModel in the folder `path`; a context manager, closed at its end.

    Args:
        places: max executions at a time; max_batch: max batch size, a power of two, 1 for none.
        threads: intra-op threads; 0 lets TensorFlow choose.

    Raises an error of TensorFlow if the folder holds no complete model.
    """

    def __init__(self, path: Path, places: int = 1, max_batch: int = 1, threads: int = 0):
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads, use_per_session_threads=threads > 0
        )
        config.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta = tf.compat.v1.saved_model.load(self._session, [SERVE_TAG], str(path))
                self.signatures = {
                    name: Signature(name, definition, self._session, places, max_batch)
                    for name, definition in meta.signature_def.items()
                    if definition.inputs and definition.outputs
                }
        except BaseException:
            self._session.close()
            raise
        self.definitions: dict[str, meta_graph_pb2.SignatureDef] = dict(meta.signature_def)

    def signature(self, name: str) -> Signature:
        """The signature of a name; "" is the default's. Raises `UnknownSignature`."""
        found = self.signatures.get(name or contract.SIGNATURE_IMAGES)
        if found is None:
            raise UnknownSignature(
                f"the signature must be one of {', '.join(sorted(self.signatures))}; "
                f"received {name[:100]!r}"
            )
        return found

    def __enter__(self) -> "LoadedModel":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Frees the memory; nothing may run any more."""
        self.signatures, self.definitions = {}, {}
        self._session.close()


def short_message(error: tf.errors.OpError) -> str:
    """The message of an operation, without the graph locations that TensorFlow adds."""
    lines = [line.strip() for line in str(error.message).splitlines()]
    lines = [re.sub(r"^\(\d+\)\s*", "", line) for line in lines if "root error(s)" not in line]
    text = next((line for line in lines if line and not line.startswith(_HEADINGS)), "")
    return re.sub(r"\s*\[\[.*$", "", text)[:_MESSAGE_CHARACTERS] or type(error).__name__


def smallest_input(signature: Signature) -> dict[str, np.ndarray]:
    """Zeros of a small shape that the signature takes: 16 along each free axis."""
    ((name, info),) = signature.inputs.items()
    shape = [16 if size.size == -1 else size.size for size in info.tensor_shape.dim]
    return {name: np.zeros([1, *shape[1:]], tf.dtypes.as_dtype(info.dtype).as_numpy_dtype)}


def _batch_function(name, feeds, fetches, size: int, place: int, places: int):
    call = fetches[0].op
    outputs = tf.raw_ops.BatchFunction(
        in_tensors=feeds,
        captured_tensors=[tensor for tensor in call.inputs if tensor is not feeds[0]],
        f=attr_value_pb2.NameAttrList(name=call.get_attr("f").name),
        Tout=call.get_attr("Tout"),
        num_batch_threads=places,
        max_batch_size=size,
        batch_timeout_micros=_BATCH_TIMEOUT_US,
        max_enqueued_batches=places,
        shared_name=f"{name}/{size}",
        batching_queue=str(place),
    )
    return [outputs[fetch.value_index] for fetch in fetches]


def _powers_of_two(largest: int) -> list[int]:
    return [1 << i for i in range(1, largest.bit_length())]

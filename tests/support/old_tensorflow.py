"""What a TensorFlow answers for a SavedModel: a program for one older than the package's own.

    python -m tests.support.old_tensorflow models/dmenet/1 REQUESTS.npz REPLIES.npz

Needs TensorFlow and NumPy alone. The requests are {signature/case: value} (`exchange.py`), the
replies {loader/signature/case/output: value} for both loaders: the classic one into a session, and
`tf.saved_model.load`. Prints what the model asks for and this TensorFlow knows, as one JSON object.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tests.support import exchange

SESSION, LOAD = "session", "load"


def by_session(folder, requests):
    replies = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder)
        for case, value in requests.items():
            described = meta_graph.signature_def[case.split("/")[0]]
            (source,) = described.inputs.values()
            outputs = {name: info.name for name, info in described.outputs.items()}
            for name, output in session.run(outputs, {source.name: value}).items():
                replies[f"{SESSION}/{case}/{name}"] = output
    return replies


def by_load(folder, requests):
    replies = {}
    model = tf.saved_model.load(folder)
    for case, value in requests.items():
        signature = model.signatures[case.split("/")[0]]
        (name,) = signature.structured_input_signature[1]
        for output, tensor in signature(**{name: tf.constant(value)}).items():
            replies[f"{LOAD}/{case}/{output}"] = tensor.numpy()
    return replies


def needs(folder):
    """What the model asks for, as this TensorFlow knows it."""
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].graph_def
    nodes = list(graph.node) + [n for f in graph.library.function for n in f.node_def]
    used = {node.op for node in nodes} - {f.signature.name for f in graph.library.function}
    known = {name: op for name in used for op in [op_def_registry.get(name)] if op is not None}
    attributes = {name: {attribute.name for attribute in op.attr} for name, op in known.items()}
    return {
        "tensorflow": tf.__version__,
        "operations": {name: arguments(op) for name, op in sorted(known.items())},
        "unknown_operations": sorted(used - set(known)),
        "unknown_attributes": sorted(
            {
                f"{node.op}.{name}"
                for node in nodes
                if node.op in known
                for name in node.attr
                # With an underscore: notes of the runtime, which any operation may bear.
                if not name.startswith("_") and name not in attributes[node.op]
            }
        ),
        # A graph names the oldest version that may read it.
        "min_consumer": graph.versions.min_consumer,
        "reads_as": tf.version.GRAPH_DEF_VERSION,
    }


def arguments(op):
    return [[argument.name for argument in side] for side in (op.input_arg, op.output_arg)]


if __name__ == "__main__":
    model, requests, replies = sys.argv[1:]
    asked = exchange.read(requests)
    exchange.write(replies, {**by_session(model, asked), **by_load(model, asked)})
    print(json.dumps(needs(model)))

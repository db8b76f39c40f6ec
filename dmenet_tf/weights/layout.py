"""The names under which a checkpoint holds networks and optimizers: their own, and not Keras's.

    blur_estimation/conv1_1/kernel     a variable of a network, by its layer
    generator_optimizer/iterations     what an optimizer counts
    generator_optimizer/momentum/7     what it remembers of the eighth variable that it updates
    average/values/7                   what is kept beside B's weights (`averages.py`)

So a checkpoint is the same with every version of Keras that trains these networks. Those of earlier
versions of this package, which saved Keras's objects, hold `blur_estimation/_operations/1/_kernel`
and the like: private names of Keras 3, with layers by number. `restore_objects` reads them.
"""

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from dmenet_tf import keras_versions
from dmenet_tf.networks.layers import own_name
from dmenet_tf.weights.averages import Average, Statistics

_GRAPH, _LAYERS = "_CHECKPOINTABLE_OBJECT_GRAPH", "_operations"
# What Keras 3 calls an optimizer's own, by the names of `keras_versions.state`.
_KERAS_NAMES = {
    "iterations": "_iterations",
    "momentum": "_momentums",
    "velocity": "_velocities",
    "loss_scale": "dynamic_scale",
    "steps_at_scale": "step_counter",
}
_INNER = "inner_optimizer"  # of one with loss scaling


def of_network(model) -> dict:
    """{layer: {variable: tf.Variable}} of a model's layers that have any."""
    return {
        layer.name: {
            own_name(variable): keras_versions.tensorflow_variable(variable)
            for variable in layer.weights
        }
        for layer in model.layers
        if layer.weights
    }


def of_kept(statistics: Statistics | None = None, average: Average | None = None) -> dict:
    """What is kept beside B's weights, where it is, without the weights that it follows."""
    kept = {}
    if statistics is not None:
        kept["other_statistics"] = {"means": statistics.means, "variances": statistics.variances}
    if average is not None:
        kept["average"] = {"values": average.values}
    return kept


def holds(path, part: str) -> bool:
    """Whether a checkpoint holds a part, which those of earlier versions may not.

    Asked of its objects, because a variable that two of them share has the name of one alone.
    """
    return _root(tf.train.load_checkpoint(path)).has(part)


def holds_objects(path) -> bool:
    """Whether a checkpoint is of an earlier version, which saved Keras's objects."""
    root = _root(tf.train.load_checkpoint(path))
    return any(root.at(name).has(_LAYERS) for name in root.names)


def restore_objects(path, networks: dict, optimizers: dict) -> None:
    """Reads networks and optimizers from a checkpoint of an earlier version.

    networks: {name: model}; optimizers: {name: `keras_versions.state` of one}.
    Raises ValueError, before the part in question is changed, where it holds anything else.
    """
    reader = tf.train.load_checkpoint(path)
    root = _root(reader)
    values = []
    for name, model in networks.items():
        for number, layer in enumerate(model.layers):
            for variable, target in of_network(model).get(layer.name, {}).items():
                held = root.at(name, _LAYERS, str(number))
                values.append((target, held.key(f"_{variable}") or held.key(variable)))
    for name, state in optimizers.items():
        values += _of_optimizer(root.at(name), state)
    for target, key in values:
        if key is None or reader.get_variable_to_shape_map()[key] != target.shape.as_list():
            raise ValueError(f"{target.name} must be in it, of shape {target.shape}")
    for target, key in values:
        target.assign(reader.get_tensor(key))


def _of_optimizer(held, state: dict) -> list:
    """(variable, key in the checkpoint or None) of each in `state`."""
    inner = held.at(_INNER) if held.has(_INNER) else held
    pairs = []
    for name, targets in state.items():
        theirs = _KERAS_NAMES.get(name, name)
        if not isinstance(targets, list):
            pairs.append((targets, inner.key(theirs) or held.key(theirs)))
            continue
        values = inner.at(theirs)
        pairs += [(target, values.key(str(i))) for i, target in enumerate(targets)]
    return pairs


def _root(reader) -> "_Node":
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    return _Node(graph.nodes, 0)


class _Node:
    """An object of a checkpoint: its parts by name, and the key of a variable's value."""

    def __init__(self, nodes, number: int | None):
        self._nodes = nodes
        node = None if number is None else nodes[number]
        self._parts = {c.local_name: c.node_id for c in node.children} if node else {}
        self._key = node.attributes[0].checkpoint_key if node and node.attributes else None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._parts)

    def has(self, name: str) -> bool:
        return name in self._parts

    def at(self, *names: str) -> "_Node":
        """The part of a part and so on; an empty one where there is none."""
        node = self
        for name in names:
            node = _Node(self._nodes, node._parts.get(name))
        return node

    def key(self, name: str) -> str | None:
        return self.at(name)._key

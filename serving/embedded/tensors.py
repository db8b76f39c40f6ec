"""`TensorProto` -> NumPy, checked first, and back.

A message declares its shape apart from its values: a few bytes can declare gigabytes, or a shape
that the values do not fill. Nothing of the declared size is allocated before it is checked.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving import contract
from serving.embedded.errors import invalid

# The field of a TensorProto with the values of each type, unless they are in `tensor_content`.
_VALUES = {
    tf.float32: "float_val", tf.float64: "double_val", tf.int32: "int_val", tf.uint8: "int_val",
    tf.int64: "int64_val", tf.bool: "bool_val", tf.string: "string_val",
}  # fmt: skip


def read_inputs(inputs, expected, check_shapes=lambda shapes: None) -> dict[str, np.ndarray]:
    """A request's tensors as arrays.

    Args:
        inputs: name -> TensorProto; expected: name -> TensorInfo, of the signature.
        check_shapes: called with name -> shape before any array is made; may raise.

    Raises RequestError INVALID_ARGUMENT where the two disagree, or a message contradicts itself.
    """
    if set(inputs) != set(expected):
        received = ", ".join(sorted(name[:40] for name in list(inputs)[:5])) or "none"
        raise invalid(f"the inputs must be {', '.join(sorted(expected))}; received {received}")
    shapes = {name: declared_shape(inputs[name], name, info) for name, info in expected.items()}
    check_shapes(shapes)
    return {name: to_array(inputs[name], name, shape) for name, shape in shapes.items()}


def declared_shape(tensor: tensor_pb2.TensorProto, name: str, info) -> list[int]:
    """The tensor's shape, after type and shape were checked against the signature's `info`."""
    wanted, received = tf.dtypes.as_dtype(info.dtype), tensor.dtype
    if received != info.dtype:
        names = types_pb2.DataType.keys()
        given = types_pb2.DataType.Name(received) if received in types_pb2.DataType.values() else ""
        given = given.removeprefix("DT_").lower() if given in names else str(received)
        raise invalid(f"`{name}` must be {wanted.name}; received {given}")
    if tensor.tensor_shape.unknown_rank:
        raise invalid(f"`{name}` must have a shape; received one of unknown rank")
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    expected = [dimension.size for dimension in info.tensor_shape.dim]
    fits = info.tensor_shape.unknown_rank or (
        len(shape) == len(expected)
        and all(want in (-1, got) for want, got in zip(expected, shape, strict=True))
    )
    if not fits or min(shape, default=1) < 1:
        free = ["any" if size == -1 else str(size) for size in expected]
        raise invalid(
            f"`{name}` must have the shape [{', '.join(free)}] without empty dimensions; "
            f"received {_short(shape)}"
        )
    return shape


def to_array(tensor: tensor_pb2.TensorProto, name: str, shape: list[int]) -> np.ndarray:
    """The values, of a `shape` that `declared_shape` returned."""
    dtype = tf.dtypes.as_dtype(tensor.dtype)
    if dtype not in _VALUES:
        raise invalid(f"`{name}` must have a type that this server supports; received {dtype.name}")
    count = math.prod(shape)
    if dtype == tf.string:
        return _strings(tensor, name, count).reshape(shape)
    if count * dtype.size > contract.MAX_MESSAGE_BYTES:
        raise invalid(f"`{name}` must fit into a message; received the shape {_short(shape)}")
    content = tensor.tensor_content
    if content:
        if len(content) != count * dtype.size:
            raise invalid(
                f"`{name}` of shape {_short(shape)} must have {count * dtype.size} bytes of "
                f"tensor_content; received {len(content)}"
            )
        return np.frombuffer(content, dtype.as_numpy_dtype).reshape(shape)
    values = getattr(tensor, _VALUES[dtype])
    if not 1 <= len(values) <= count:
        raise invalid(
            f"`{name}` of shape {_short(shape)} must have {count} values; received {len(values)}"
        )
    array = np.fromiter(values, np.int64 if dtype == tf.uint8 else dtype.as_numpy_dtype)
    if dtype == tf.uint8 and (array.min() < 0 or array.max() > 255):
        raise invalid(f"`{name}` must hold uint8; received values beyond 0 to 255")
    # Fewer values than elements: the last one stands for all the rest (tensor.proto).
    array = np.pad(array, (0, count - len(array)), mode="edge")
    return array.astype(dtype.as_numpy_dtype, copy=False).reshape(shape)


def _strings(tensor, name: str, count: int) -> np.ndarray:
    if tensor.tensor_content or len(tensor.string_val) != count:
        raise invalid(
            f"`{name}` must have {count} values in string_val; received {len(tensor.string_val)}"
        )
    return np.array(tensor.string_val, dtype=object)


def to_proto(array: np.ndarray, into: tensor_pb2.TensorProto) -> None:
    """Writes an array, of numbers or of bytes, into an empty message."""
    array = np.asarray(array)
    strings = array.dtype == object
    into.dtype = (tf.string if strings else tf.dtypes.as_dtype(array.dtype)).as_datatype_enum
    for size in array.shape:
        into.tensor_shape.dim.add(size=size)
    if strings:
        into.string_val.extend(array.ravel().tolist())
    else:
        into.tensor_content = array.tobytes()


def _short(shape: list[int]) -> str:
    return str(shape) if len(shape) <= 8 else f"{len(shape)} dimensions"

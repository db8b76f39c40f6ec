"""The few messages of TensorFlow Serving's gRPC interface that a client needs, without TensorFlow.

The official Python modules (tensorflow-serving-api) import TensorFlow, which costs half a gigabyte
and seconds of startup. Here the same messages are declared with their official full names and field
numbers, so that the bytes are the same, in a descriptor pool of their own, so that both can be used
in one process. A test compares every field with the official descriptors.

`to_tensor` and `from_tensor` stand side by side: NumPy arrays and lists of bytes, and back.
"""

import math
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

_Field = descriptor_pb2.FieldDescriptorProto


class Field(NamedTuple):
    """A field of a message.

    kind: a scalar's type in the .proto language, or the full name of a message or enum after
    "message " or "enum "; for a map of strings to messages, "map " and the message's name.
    """

    number: int
    name: str
    kind: str
    repeated: bool = False
    oneof: str = ""


# File of the interface -> its package, enums {name: {value: number}} and messages {name: fields}.
ENUMS = {
    "tensorflow.DataType": {
        "DT_INVALID": 0, "DT_FLOAT": 1, "DT_DOUBLE": 2, "DT_INT32": 3, "DT_UINT8": 4,
        "DT_INT16": 5, "DT_INT8": 6, "DT_STRING": 7, "DT_INT64": 9, "DT_BOOL": 10,
        "DT_UINT16": 17,
    },
    "tensorflow.serving.ModelVersionStatus.State": {
        "UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50,
    },
    "grpc.health.v1.HealthCheckResponse.ServingStatus": {
        "UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3,
    },
}  # fmt: skip
MESSAGES = {
    "tensorflow.TensorShapeProto": (
        Field(2, "dim", "message tensorflow.TensorShapeProto.Dim", repeated=True),
        Field(3, "unknown_rank", "bool"),
    ),
    "tensorflow.TensorShapeProto.Dim": (Field(1, "size", "int64"), Field(2, "name", "string")),
    "tensorflow.TensorProto": (
        Field(1, "dtype", "enum tensorflow.DataType"),
        Field(2, "tensor_shape", "message tensorflow.TensorShapeProto"),
        Field(4, "tensor_content", "bytes"),
        Field(5, "float_val", "float", repeated=True),
        Field(7, "int_val", "int32", repeated=True),
        Field(8, "string_val", "bytes", repeated=True),
        Field(10, "int64_val", "int64", repeated=True),
    ),
    "tensorflow.serving.ModelSpec": (
        Field(1, "name", "string"),
        Field(2, "version", "message google.protobuf.Int64Value", oneof="version_choice"),
        Field(4, "version_label", "string", oneof="version_choice"),
        Field(3, "signature_name", "string"),
    ),
    "tensorflow.serving.PredictRequest": (
        Field(1, "model_spec", "message tensorflow.serving.ModelSpec"),
        Field(2, "inputs", "map tensorflow.TensorProto", repeated=True),
        Field(3, "output_filter", "string", repeated=True),
    ),
    "tensorflow.serving.PredictResponse": (
        Field(2, "model_spec", "message tensorflow.serving.ModelSpec"),
        Field(1, "outputs", "map tensorflow.TensorProto", repeated=True),
    ),
    "tensorflow.serving.GetModelStatusRequest": (
        Field(1, "model_spec", "message tensorflow.serving.ModelSpec"),
    ),
    "tensorflow.serving.GetModelStatusResponse": (
        Field(
            1,
            "model_version_status",
            "message tensorflow.serving.ModelVersionStatus",
            repeated=True,
        ),
    ),
    "tensorflow.serving.ModelVersionStatus": (
        Field(1, "version", "int64"),
        Field(2, "state", "enum tensorflow.serving.ModelVersionStatus.State"),
        Field(3, "status", "message tensorflow.serving.StatusProto"),
    ),
    # Its error_code, an enum of TensorFlow's, says less than the message.
    "tensorflow.serving.StatusProto": (Field(2, "error_message", "string"),),
    "grpc.health.v1.HealthCheckRequest": (Field(1, "service", "string"),),
    "grpc.health.v1.HealthCheckResponse": (
        Field(1, "status", "enum grpc.health.v1.HealthCheckResponse.ServingStatus"),
    ),
}
_PACKAGES = ("tensorflow.serving", "tensorflow", "grpc.health.v1")  # the longer one first


# --- declaring -------------------------------------------------------------------------------


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)  # Int64Value
    for package in reversed(_PACKAGES):
        pool.Add(_file(package))
    return pool


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    dependencies = [wrappers_pb2.DESCRIPTOR.name] if package == "tensorflow.serving" else []
    if package == "tensorflow.serving":
        dependencies.append(_file_name("tensorflow"))
    file = descriptor_pb2.FileDescriptorProto(
        name=_file_name(package), package=package, syntax="proto3", dependency=dependencies
    )
    declared = {}
    for full_name in sorted(name for name in MESSAGES if _package(name) == package):
        outer, name = full_name.rsplit(".", 1)
        parent = declared.get(outer)  # sorted: an outer message comes before its inner one
        message = file.message_type.add() if parent is None else parent.nested_type.add()
        message.name = name
        declared[full_name] = message
        for field in MESSAGES[full_name]:
            _add_field(message, full_name, field)
    for full_name in (name for name in ENUMS if _package(name) == package):
        outer, name = full_name.rsplit(".", 1)
        parent = declared.get(outer)
        enum = file.enum_type.add() if parent is None else parent.enum_type.add()
        enum.name = name
        for value, number in ENUMS[full_name].items():
            enum.value.add(name=value, number=number)
    return file


def _package(full_name: str) -> str:
    return next(package for package in _PACKAGES if full_name.startswith(package + "."))


def _file_name(package: str) -> str:
    return f"dmenet/{package}.proto"


def _add_field(message, full_name: str, field: Field) -> None:
    kind, _, type_name = field.kind.partition(" ")
    label = _Field.LABEL_REPEATED if field.repeated else _Field.LABEL_OPTIONAL
    added = message.field.add(name=field.name, number=field.number, label=label)
    if kind == "map":  # on the wire, repeated messages of key and value
        entry_name = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "", Field(1, "key", "string"))
        _add_field(entry, "", Field(2, "value", f"message {type_name}"))
        kind, type_name = "message", f"{full_name}.{entry_name}"
    added.type = getattr(_Field, f"TYPE_{kind.upper()}")
    if type_name:
        added.type_name = f".{type_name}"
    if field.oneof:
        if not message.oneof_decl:
            message.oneof_decl.add(name=field.oneof)
        added.oneof_index = 0


POOL = _pool()


def message_class(full_name: str):
    """The Python class of a declared message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


TensorProto = message_class("tensorflow.TensorProto")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")


# --- tensors ---------------------------------------------------------------------------------

_DTYPES = {  # TensorFlow's number -> dtype (little endian, as on the wire) and field of its list
    1: (np.dtype("<f4"), "float_val"),
    3: (np.dtype("<i4"), "int_val"),
    9: (np.dtype("<i8"), "int64_val"),
}
_STRING = 7


def to_tensor(value):
    """A float32, int32 or int64 array, or a list of bytes (rank 1) -> TensorProto."""
    if isinstance(value, list):
        tensor = TensorProto(dtype=_STRING, string_val=value)
        tensor.tensor_shape.dim.add(size=len(value))
        return tensor
    value = np.asarray(value)
    for number, (dtype, _) in _DTYPES.items():
        if value.dtype.newbyteorder("<") == dtype:
            # Contiguous bytes: fields of numbers would be written one by one.
            tensor = TensorProto(dtype=number, tensor_content=value.astype(dtype).tobytes())
            for size in value.shape:
                tensor.tensor_shape.dim.add(size=size)
            return tensor
    raise ValueError(f"a tensor must be float32, int32, int64 or bytes; received {value.dtype}")


def from_tensor(tensor):
    """TensorProto -> an array of float32, int32 or int64, or a list of bytes for strings (rank 1).

    Numbers may come as contents or as a list of values: servers differ. Raises ValueError for other
    types, and where the number of values is not that of the shape.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError(f"a tensor must state its shape; received {shape}")
    count = math.prod(shape)
    if tensor.dtype == _STRING:
        if len(shape) != 1 or len(tensor.string_val) != count:
            raise ValueError(
                "a tensor of strings must have rank 1 and as many values as its shape says; "
                f"received {len(tensor.string_val)} values in {shape}"
            )
        return list(tensor.string_val)
    if tensor.dtype not in _DTYPES:
        raise ValueError(
            f"a tensor must be float32, int32, int64 or string; received type {tensor.dtype}"
        )
    dtype, field = _DTYPES[tensor.dtype]
    if tensor.tensor_content:
        held, size = len(tensor.tensor_content), count * dtype.itemsize
        if held != size:
            raise ValueError(f"a tensor of {shape} must hold {size} bytes; received {held}")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = np.array(getattr(tensor, field), dtype)
    if len(values) != count:
        raise ValueError(f"a tensor of {shape} must hold {count} values; received {len(values)}")
    return values.reshape(shape)

"""A SavedModel through TensorFlow's C API: its C++ loader and session, without its Python.

    with SavedModel("models/dmenet/1") as model:
        outputs = model("serving_default", images)

TensorFlow Serving is built around the same loader. The library is that of the installed wheel,
bound by ctypes; nothing here imports TensorFlow.
"""

import contextlib
import ctypes
import importlib.util
import os
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

LIBRARY = "libtensorflow_cc.so.2"
_TAG = b"serve"
_STRING = 7  # TF_STRING
_DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 9: np.int64, 10: np.bool_}
# In the order of their numbers, from 0.
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


class CApiError(RuntimeError):
    """A call whose status is not OK; `code` is the status' name such as "INVALID_ARGUMENT"."""

    def __init__(self, call: str, code: str, message: str):
        super().__init__(f"{call}: {code}: {message}")
        self.code = code


def library_path() -> Path | None:
    """The C library beside the installed TensorFlow, or None; does not import it."""
    found = importlib.util.find_spec("tensorflow")
    path = Path(found.origin).with_name(LIBRARY) if found and found.origin else None
    return path if path and path.is_file() else None


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


class _Output(ctypes.Structure):
    """One of an operation's outputs: TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class _String(ctypes.Structure):
    """TF_TString: 24 bytes that only the library's own functions look into."""

    _fields_ = [("opaque", ctypes.c_uint64 * 3)]


_P, _INT, _SIZE, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
_DIMS = ctypes.POINTER(ctypes.c_int64)
# name: (result, arguments); ctypes would take pointers for 32-bit numbers.
_FUNCTIONS = {
    "TF_NewStatus": (_P, []),
    "TF_DeleteStatus": (None, [_P]),
    "TF_GetCode": (_INT, [_P]),
    "TF_Message": (_TEXT, [_P]),
    "TF_NewBuffer": (ctypes.POINTER(_Buffer), []),
    "TF_DeleteBuffer": (None, [ctypes.POINTER(_Buffer)]),
    "TF_NewGraph": (_P, []),
    "TF_DeleteGraph": (None, [_P]),
    "TF_GraphOperationByName": (_P, [_P, _TEXT]),
    "TF_NewSessionOptions": (_P, []),
    "TF_DeleteSessionOptions": (None, [_P]),
    "TF_LoadSessionFromSavedModel": (
        _P,
        [_P, _P, _TEXT, ctypes.POINTER(_TEXT), _INT, _P, ctypes.POINTER(_Buffer), _P],
    ),
    "TF_CloseSession": (None, [_P, _P]),
    "TF_DeleteSession": (None, [_P, _P]),
    "TF_SessionRun": (
        None,
        [
            *(_P, _P),
            *(ctypes.POINTER(_Output), ctypes.POINTER(_P), _INT),
            *(ctypes.POINTER(_Output), ctypes.POINTER(_P), _INT),
            *(_P, _INT, _P, _P),
        ],
    ),
    "TF_AllocateTensor": (_P, [_INT, _DIMS, _INT, _SIZE]),
    "TF_DeleteTensor": (None, [_P]),
    "TF_TensorType": (_INT, [_P]),
    "TF_NumDims": (_INT, [_P]),
    "TF_Dim": (ctypes.c_int64, [_P, _INT]),
    "TF_TensorByteSize": (_SIZE, [_P]),
    "TF_TensorData": (_P, [_P]),
    "TF_StringInit": (None, [ctypes.POINTER(_String)]),
    "TF_StringCopy": (None, [ctypes.POINTER(_String), _TEXT, _SIZE]),
    "TF_StringGetDataPointer": (_P, [ctypes.POINTER(_String)]),
    "TF_StringGetSize": (_SIZE, [ctypes.POINTER(_String)]),
    "TF_StringDealloc": (None, [ctypes.POINTER(_String)]),
}


def _bound():
    library = ctypes.CDLL(str(library_path()))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class SavedModel:
    """A SavedModel in a session of its own; a context manager, which frees everything.

    Raises `CApiError` where it cannot be loaded.
    """

    def __init__(self, folder):
        self._free = contextlib.ExitStack()
        with contextlib.ExitStack() as on_error:
            on_error.push(self._free)
            self._c = _bound()
            self._status = self._c.TF_NewStatus()
            self._free.callback(self._c.TF_DeleteStatus, self._status)
            self._graph = self._c.TF_NewGraph()
            self._free.callback(self._c.TF_DeleteGraph, self._graph)
            self.signatures = self._load(folder)
            on_error.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._free.close()

    def __call__(self, signature: str, value) -> dict:
        """All outputs of a signature for its one input.

        Args:
            value: an array of numbers, or a list of bytes.

        Returns {name: an array, or a list of bytes}. Raises `CApiError` where it is refused.
        """
        described = self.signatures[signature]
        (source,) = described.inputs
        with contextlib.ExitStack() as free:
            given = (ctypes.c_void_p * 1)(self._tensor(value, free))
            taken = (ctypes.c_void_p * len(described.outputs))()
            self._checked(
                "TF_SessionRun", self._session, None,
                (_Output * 1)(self._output(source.info.name)), given, 1,
                (_Output * len(taken))(*(self._output(o.info.name) for o in described.outputs)),
                taken, len(taken), None, 0, None,
            )  # fmt: skip
            for tensor in taken:
                free.callback(self._c.TF_DeleteTensor, tensor)
            # Copied while the inputs live: an output may share an input's memory.
            return {
                output.key: self._value(tensor)
                for output, tensor in zip(described.outputs, taken, strict=True)
            }

    def _checked(self, call: str, *arguments):
        """A call whose last argument is the status."""
        result = getattr(self._c, call)(*arguments, self._status)
        code = self._c.TF_GetCode(self._status)
        if code:
            message = self._c.TF_Message(self._status).decode(errors="replace")
            raise CApiError(call, _CODES[code] if code < len(_CODES) else str(code), message)
        return result

    def _load(self, folder) -> dict:
        with contextlib.ExitStack() as free:
            options = self._c.TF_NewSessionOptions()
            free.callback(self._c.TF_DeleteSessionOptions, options)
            meta_graph = self._c.TF_NewBuffer()
            free.callback(self._c.TF_DeleteBuffer, meta_graph)
            self._session = self._checked(
                "TF_LoadSessionFromSavedModel", options, None, os.fsencode(folder),
                (_TEXT * 1)(_TAG), 1, self._graph, meta_graph,
            )  # fmt: skip
            self._free.callback(self._checked, "TF_DeleteSession", self._session)
            self._free.callback(self._checked, "TF_CloseSession", self._session)
            described = meta_graph.contents
            return _signatures(ctypes.string_at(described.data, described.length))

    def _output(self, name: str) -> _Output:
        operation, index = name.rsplit(":", 1)
        found = self._c.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise CApiError("TF_GraphOperationByName", "NOT_FOUND", operation)
        return _Output(found, int(index))

    def _tensor(self, value, free: contextlib.ExitStack):
        if isinstance(value, list):
            return self._tensor_of_bytes(value, free)
        value = np.ascontiguousarray(value)
        (dtype,) = (number for number, kind in _DTYPES.items() if value.dtype == kind)
        tensor = self._allocated(dtype, value.shape, value.nbytes, free)
        ctypes.memmove(self._c.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _tensor_of_bytes(self, items: list[bytes], free: contextlib.ExitStack):
        size = len(items) * ctypes.sizeof(_String)
        tensor = self._allocated(_STRING, (len(items),), size, free)
        strings = (_String * len(items)).from_address(self._c.TF_TensorData(tensor))
        for string, data in zip(strings, items, strict=True):
            self._c.TF_StringInit(string)
            # The caller's strings are the caller's to free; those of outputs are the tensor's.
            free.callback(self._c.TF_StringDealloc, string)
            self._c.TF_StringCopy(string, data, len(data))
        return tensor

    def _allocated(self, dtype: int, shape, size: int, free: contextlib.ExitStack):
        dims = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self._c.TF_AllocateTensor(dtype, dims, len(shape), size)
        if not tensor:
            raise MemoryError(f"TF_AllocateTensor: {size} bytes")
        free.callback(self._c.TF_DeleteTensor, tensor)
        return tensor

    def _value(self, tensor):
        c = self._c
        shape = [c.TF_Dim(tensor, i) for i in range(c.TF_NumDims(tensor))]
        start = c.TF_TensorData(tensor)
        if c.TF_TensorType(tensor) == _STRING:
            (count,) = shape
            return [
                ctypes.string_at(c.TF_StringGetDataPointer(string), c.TF_StringGetSize(string))
                for string in (_String * count).from_address(start)
            ]
        data = ctypes.string_at(start, c.TF_TensorByteSize(tensor))
        return np.frombuffer(data, _DTYPES[c.TF_TensorType(tensor)]).reshape(shape)


# The part of TensorFlow's MetaGraphDef that names a signature's tensors; a map is a list of pairs.
_SCHEMA = """
name: "signatures.proto" syntax: "proto3"
message_type { name: "Tensor"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "NamedTensor"
  field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "info" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "Tensor" } }
message_type { name: "Signature"
  field { name: "inputs" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "NamedTensor" }
  field { name: "outputs" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "NamedTensor" } }
message_type { name: "NamedSignature"
  field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "info" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: "Signature" } }
message_type { name: "MetaGraph"
  field { name: "signatures" number: 5 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "NamedSignature" } }
"""


def _signatures(meta_graph: bytes) -> dict:
    """{name: a message with `inputs` and `outputs`, each of `key` and `info.name`}."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("MetaGraph"))
    return {named.key: named.info for named in kind.FromString(meta_graph).signatures}

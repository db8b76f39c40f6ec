"""TensorFlow Serving's REST form: JSON <-> the messages of the gRPC service.

    {"signature_name": "encoded", "instances": [{"b64": "..."}]}    -> {"predictions": [...]}
    {"inputs": {"images": [[[[0.5, 0.5, 0.5], ...]]]}}              -> {"outputs": {...}}

As https://www.tensorflow.org/tfx/serving/api_rest has it, with one difference: a string of a reply
that is not UTF-8, as `sigma_png`, is {"b64": "..."} whatever the output is called. (TensorFlow
Serving does that for names in `_bytes` alone, and writes the bytes of others into the JSON as they
are.)
"""

import base64
import binascii
import inspect

import grpc
import numpy as np
import orjson
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving import contract
from serving.embedded import tensors
from serving.embedded.errors import RequestError, invalid

ROWS, COLUMNS = "instances", "inputs"
_REPLIES = {ROWS: "predictions", COLUMNS: "outputs"}
_BASE64 = "b64"
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
# Protobuf 5 renamed it.
_WITH_DEFAULTS = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(MessageToDict).parameters
)


# --- JSON -> message ---------------------------------------------------------------------------


def fill_request(body: bytes, definitions, request: predict_pb2.PredictRequest) -> str:
    """Fills a request, which has its model_spec, from JSON; returns its format, ROWS or COLUMNS.

    definitions: signature -> SignatureDef of the model. Raises RequestError INVALID_ARGUMENT for
    other JSON, FAILED_PRECONDITION for an unknown signature.
    """
    document = _parse(body)
    name = document.get("signature_name", contract.SIGNATURE_IMAGES)
    if not isinstance(name, str):
        raise invalid(f"signature_name must be a string; received {_short(name)}")
    if name not in definitions:
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the signature must be one of {', '.join(sorted(definitions))}; "
            f"received {name[:100]!r}",
        )
    given = [key for key in (ROWS, COLUMNS) if key in document]
    if len(given) != 1:
        raise invalid(
            f"a request must have `{ROWS}` or `{COLUMNS}`; received "
            f"{'both' if given else ', '.join(sorted(document)[:5]) or 'neither'}"
        )
    infos = definitions[name].inputs
    columns = (_of_rows if given == [ROWS] else _of_columns)(document[given[0]], list(infos))
    request.model_spec.signature_name = name
    for tensor, values in columns.items():
        dtype = tf.dtypes.as_dtype(infos[tensor].dtype if tensor in infos else tf.float32)
        tensors.to_proto(_array(values, dtype, tensor), request.inputs[tensor])
    return given[0]


def _parse(body: bytes) -> dict:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body must be JSON ({error})") from None
    if not isinstance(document, dict):
        raise invalid(f"the body must be a JSON object; received {_short(document)}")
    return document


def _of_rows(rows, names: list[str]) -> dict:
    if not isinstance(rows, list):
        raise invalid(f"`{ROWS}` must be a list; received {_short(rows)}")
    named = [_is_named(row) for row in rows]
    if not any(named) and len(names) == 1:
        return {names[0]: rows}
    keys = sorted(rows[named.index(True)]) if any(named) else []
    if not all(named) or any(sorted(row) != keys for row in rows):
        raise invalid(f"each of `{ROWS}` must be an object with the same of {', '.join(names)}")
    return {key: [row[key] for row in rows] for key in keys}


def _of_columns(columns, names: list[str]) -> dict:
    if _is_named(columns):
        return columns
    if len(names) != 1:
        raise invalid(f"`{COLUMNS}` must be an object with {', '.join(names)}")
    return {names[0]: columns}


def _is_named(value) -> bool:
    return isinstance(value, dict) and set(value) != {_BASE64}


def _array(values, dtype: tf.DType, name: str) -> np.ndarray:
    if dtype == tf.string:
        return _strings(values, name)
    try:
        with np.errstate(over="ignore"):  # infinity, which the model refuses
            return np.array(values, dtype.as_numpy_dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(
            f"`{name}` must be nested lists of numbers, of equal lengths at each depth ({error})"
        ) from None


def _strings(values, name: str) -> np.ndarray:
    if not isinstance(values, list):
        raise invalid(f"`{name}` must be a list; received {_short(values)}")
    found = np.empty(len(values), object)
    for index, value in enumerate(values):
        if isinstance(value, dict) and set(value) == {_BASE64}:
            found[index] = _bytes(value[_BASE64], f"`{name}` [{index}]")
        elif isinstance(value, str):
            found[index] = value.encode()
        else:
            raise invalid(
                f'`{name}` [{index}] must be a string or {{"{_BASE64}": ...}}; '
                f"received {_short(value)}"
            )
    return found


def _bytes(text, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise invalid(f"{name} must be base64 ({error})") from None


def _short(value) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return "null" if value is None else kinds.get(type(value), "a number")


# --- message -> JSON ---------------------------------------------------------------------------


def prediction(response: predict_pb2.PredictResponse, form: str) -> bytes:
    """The reply to a request of a format (ROWS, COLUMNS). A single output goes without its name."""
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    if form == COLUMNS:
        value = {name: _listed(array) for name, array in outputs.items()}
        value = value if len(value) > 1 else next(iter(value.values()))
    else:
        columns = [_listed(array) for array in outputs.values()]
        rows = zip(*columns, strict=True)
        value = [
            dict(zip(outputs, row, strict=True)) if len(outputs) > 1 else row[0] for row in rows
        ]
    return orjson.dumps({_REPLIES[form]: value}, option=orjson.OPT_SERIALIZE_NUMPY)


def _listed(array: np.ndarray) -> list:
    return [_text(value) for value in array] if array.dtype == object else list(array)


def _text(value: bytes):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(value).decode()}


def status(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    State = get_model_status_pb2.ModelVersionStatus.State
    versions = [
        {
            "version": str(version.version),  # as protobuf writes an int64
            "state": State.Name(version.state),
            "status": {
                "error_code": _CODES.get(version.status.error_code, "UNKNOWN"),
                "error_message": version.status.error_message,
            },
        }
        for version in response.model_version_status
    ]
    return orjson.dumps({"model_version_status": versions}, option=orjson.OPT_INDENT_2)


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    document = {
        "model_spec": _dict(response.model_spec),
        "metadata": {"signature_def": _dict(signatures)},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def error(message: str) -> bytes:
    return orjson.dumps({"error": message.encode(errors="replace").decode()})


def _dict(message) -> dict:
    return MessageToDict(message, preserving_proto_field_name=True, **{_WITH_DEFAULTS: True})

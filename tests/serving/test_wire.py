"""Messages on the wire: declared as the official ones, tensors there and back."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving import wire

RNG = np.random.default_rng(0)
# No deadline: how fast the machine is proves nothing.


def _official():
    """The official pool, in which tensorflow-serving-api registers its messages."""
    pytest.importorskip("tensorflow_serving")
    from google.protobuf import descriptor_pool
    from grpc_health.v1 import health_pb2  # noqa: F401
    from tensorflow_serving.apis import (  # noqa: F401
        get_model_status_pb2,
        predict_pb2,
        prediction_service_pb2,
    )

    return descriptor_pool.Default()


def _described(field):
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return field.number, field.name, "map", _described(key), _described(value)
    typed = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else None
    name = typed.full_name if typed else None
    return field.number, field.name, field.type, field.is_repeated, name, oneof


def test_every_declared_field_is_the_official_one():
    official = _official()
    fields = 0
    for name, declared in wire.MESSAGES.items():
        ours, theirs = (pool.FindMessageTypeByName(name) for pool in (wire.POOL, official))
        assert len(ours.fields) == len(declared)
        for field in ours.fields:
            assert _described(field) == _described(theirs.fields_by_number[field.number])
            fields += 1
    assert fields > 25
    for name, values in wire.ENUMS.items():
        theirs = official.FindEnumTypeByName(name).values_by_name
        for value, number in values.items():
            assert theirs[value].number == number


def test_methods_have_the_official_paths():
    official = _official()
    for path in (wire.PREDICT, wire.GET_MODEL_STATUS, wire.HEALTH_CHECK):
        service, method = path[1:].split("/")
        if service.startswith("tensorflow.serving.Model"):
            from tensorflow_serving.apis import model_service_pb2  # noqa: F401
        assert method in official.FindServiceByName(service).methods_by_name


def test_bytes_are_those_of_the_official_messages():
    official = _official()
    from google.protobuf import message_factory

    name = "tensorflow.serving.PredictRequest"
    theirs = message_factory.GetMessageClass(official.FindMessageTypeByName(name))()
    ours = wire.PredictRequest()
    for request in (ours, theirs):
        request.model_spec.name = "dmenet"
        request.model_spec.version.value = 3
        request.model_spec.signature_name = "encoded"
        request.output_filter.extend(["a", "b"])
    tensor = wire.to_tensor(RNG.random((2, 3), np.float32))
    ours.inputs["x"].CopyFrom(tensor)
    theirs.inputs["x"].ParseFromString(tensor.SerializeToString())
    ours_bytes = ours.SerializeToString(deterministic=True)
    assert ours_bytes == theirs.SerializeToString(deterministic=True)
    theirs.model_spec.version_label = "stable"
    back = wire.PredictRequest.FromString(theirs.SerializeToString())
    assert back.model_spec.WhichOneof("version_choice") == "version_label"


ARRAYS = arrays.arrays(
    st.sampled_from(["<f4", "<i4", "<i8", ">f4", ">i4", ">i8"]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(ARRAYS)
def test_arrays_there_and_back(array):
    back = wire.from_tensor(wire.TensorProto.FromString(wire.to_tensor(array).SerializeToString()))
    assert back.dtype == array.dtype.newbyteorder("<") and back.shape == array.shape
    # As bits: NaN and -0 too.
    assert back.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@given(ARRAYS)
def test_values_as_lists_are_those_as_contents(array):
    tensor = wire.to_tensor(array)
    field = {1: "float_val", 3: "int_val", 9: "int64_val"}[tensor.dtype]
    getattr(tensor, field).extend(array.ravel().tolist())
    tensor.tensor_content = b""
    np.testing.assert_array_equal(wire.from_tensor(tensor), array)


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_bytes_there_and_back(values):
    tensor = wire.TensorProto.FromString(wire.to_tensor(values).SerializeToString())
    assert wire.from_tensor(tensor) == values


@given(
    st.builds(
        wire.TensorProto,
        dtype=st.integers(0, 30),
        tensor_content=st.binary(max_size=40),
        float_val=st.lists(st.floats(width=32), max_size=5),
        int_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
        string_val=st.lists(st.binary(max_size=4), max_size=4),
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 6), max_size=4),
    st.booleans(),
)
def test_any_tensor_is_read_or_refused_with_a_rule(tensor, shape, unknown_rank):
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_shape.unknown_rank = unknown_rank
    try:
        value = wire.from_tensor(tensor)
    except ValueError as error:
        assert "must" in str(error) and "received" in str(error)
    else:
        assert shape == ([len(value)] if isinstance(value, list) else list(value.shape))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_message_or_refused(data):
    for message in (wire.PredictRequest, wire.PredictResponse, wire.GetModelStatusResponse):
        try:
            read = message.FromString(data)
        except DecodeError:
            continue
        assert message.FromString(read.SerializeToString()) == read


def test_an_array_in_any_order_of_memory_and_bytes():
    array = RNG.random((4, 6)).astype(np.float32).T
    np.testing.assert_array_equal(wire.from_tensor(wire.to_tensor(array)), array)
    swapped = array.astype(">f4")
    np.testing.assert_array_equal(wire.from_tensor(wire.to_tensor(swapped)), array)


def test_lists_of_values_are_read_as_tensorflow_writes_them():
    """`tensor_content` is not the only form: TensorFlow Serving answers with lists."""
    for number, field in ((1, "float_val"), (3, "int_val"), (9, "int64_val")):
        tensor = wire.TensorProto(dtype=number, **{field: [1, 2, 3, 4, 5, 6]})
        for size in (2, 3):
            tensor.tensor_shape.dim.add(size=size)
        np.testing.assert_array_equal(wire.from_tensor(tensor), [[1, 2, 3], [4, 5, 6]])


def test_tensorflow_reads_ours_and_we_read_tensorflows():
    tensor_util = pytest.importorskip("tensorflow").make_ndarray
    from tensorflow import make_tensor_proto
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    array = RNG.random((3, 4)).astype(np.float32)
    for values in (array, [b"one", b"two"]):
        ours = wire.to_tensor(values)
        theirs = TensorProto.FromString(ours.SerializeToString())
        np.testing.assert_array_equal(tensor_util(theirs), np.array(values))
        made = wire.TensorProto.FromString(make_tensor_proto(values).SerializeToString())
        np.testing.assert_array_equal(wire.from_tensor(made), values)


def test_wrong_tensors_are_refused():
    tensor = wire.to_tensor(np.zeros((2, 3), np.float32))
    tensor.tensor_content = tensor.tensor_content[:-1]
    with pytest.raises(ValueError, match=r"must hold 24 bytes; received 23"):
        wire.from_tensor(tensor)
    for values in ([], [1.0], [0.0] * 7):  # nothing, what TensorFlow would repeat, too many
        tensor = wire.TensorProto(dtype=1, float_val=values)
        tensor.tensor_shape.dim.add(size=6)
        with pytest.raises(ValueError, match=f"must hold 6 values; received {len(values)}"):
            wire.from_tensor(tensor)
    strings = wire.to_tensor([b"a"])
    strings.tensor_shape.dim[0].size = 2
    with pytest.raises(ValueError, match="as many values as its shape says"):
        wire.from_tensor(strings)
    strings.tensor_shape.unknown_rank = True
    with pytest.raises(ValueError, match="must state its shape"):
        wire.from_tensor(strings)
    with pytest.raises(ValueError, match="received type 2"):
        wire.from_tensor(wire.TensorProto(dtype=2))
    with pytest.raises(ValueError, match="received float64"):
        wire.to_tensor(np.zeros(3))

"""The embedded server's calls, over loopback to a tiny model."""

import urllib.error
import urllib.request
import zlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)

from serving import contract
from tests.support.serving_calls import encoded_request, image_file, images_request, status_of


def test_images_give_the_contracts_tensors(caller):
    images = np.linspace(0, 1, 2 * 5 * 7 * 3, dtype=np.float32).reshape(2, 5, 7, 3)
    response = caller.predict(images_request(images))
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    assert set(outputs) == set(contract.OUTPUTS[contract.SIGNATURE_IMAGES])
    mean = images.mean(-1, keepdims=True)
    np.testing.assert_allclose(outputs[contract.DEFOCUS], mean, atol=1e-6)
    np.testing.assert_allclose(outputs[contract.SIGMA_PX], 7 * mean, atol=1e-5)
    assert outputs[contract.MODEL].shape == (2,)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        contract.MODEL_NAME, 1, contract.SIGNATURE_IMAGES,
    )  # fmt: skip


def test_values_one_by_one_are_the_same_as_their_bytes(caller):
    request = images_request()
    tensor = request.inputs[contract.IMAGES]
    tensor.ClearField("tensor_content")
    del tensor.float_val[:]
    tensor.float_val.extend([0.25])  # one value for all
    sigma = tf.make_ndarray(caller.predict(request).outputs[contract.SIGMA_PX])
    np.testing.assert_allclose(sigma, np.full([1, 8, 12, 1], 7 * 0.25), atol=1e-6)


def test_files_give_files(caller):
    response = caller.predict(encoded_request(image_file(), image_file(20, 10, "JPEG")))
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    assert set(outputs) == set(contract.OUTPUTS[contract.SIGNATURE_ENCODED])
    assert outputs[contract.SIZE_PX].tolist() == [[8, 12], [20, 10]]
    assert tf.io.decode_png(outputs[contract.SIGMA_PNG][0], dtype=tf.uint16).shape == (8, 12, 1)


@pytest.mark.parametrize(
    ("file", "what", "cause"),
    [
        (image_file(64, 80, "JPEG")[:-400], "JPEG", "truncated"),
        (image_file(64, 80, "JPEG")[:700], "JPEG", "truncated"),
        (image_file(64, 80, "PNG")[:-300], "PNG", "truncated"),
        (image_file(64, 80, "PNG")[:45] + bytes(40), "PNG", ""),
    ],
)
def test_a_broken_file_is_named_with_its_cause(caller, file, what, cause):
    with pytest.raises(grpc.RpcError) as caught:
        caller.predict(encoded_request(image_file(), file))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    start = f"`encoded_images` [1]: a {what} must be whole and valid; received {len(file)} bytes"
    assert caught.value.details().startswith(start) and cause in caught.value.details()


def test_other_reasons_are_the_models_own(caller):
    with pytest.raises(grpc.RpcError) as caught:
        caller.predict(images_request(np.full([1, 4, 4, 3], 2, np.float32)))
    assert "images must lie in [0, 1]" in caught.value.details()
    assert "Graph execution" not in caught.value.details()


def test_output_filter_chooses(caller):
    request = images_request()
    request.output_filter.extend([contract.DEFOCUS, contract.DEFOCUS])
    assert list(caller.predict(request).outputs) == [contract.DEFOCUS]


def test_metadata_has_the_signatures(caller):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = contract.MODEL_NAME
    answer = caller.prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def[contract.SIGNATURE_IMAGES].inputs
    assert list(inputs) == [contract.IMAGES]
    request.metadata_field[:] = ["weights"]
    assert status_of(lambda: caller.prediction.GetModelMetadata(request)) == "INVALID_ARGUMENT"
    request.metadata_field[:] = ["signature_def"]
    request.model_spec.name = "other"
    assert status_of(lambda: caller.prediction.GetModelMetadata(request)) == "NOT_FOUND"


def test_status_of_models(caller):
    assert caller.states() == {1: "AVAILABLE"}
    request = get_model_status_pb2.GetModelStatusRequest()
    for name, version, code in (("other", None, "NOT_FOUND"), ("", None, "INVALID_ARGUMENT"),
                                (contract.MODEL_NAME, 9, "NOT_FOUND")):  # fmt: skip
        request.model_spec.name = name
        if version:
            request.model_spec.version.value = version
        assert status_of(lambda: caller.models.GetModelStatus(request)) == code


def test_what_is_not_there_is_unimplemented(caller):
    def reload():
        caller.models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())

    assert status_of(reload) == "UNIMPLEMENTED"
    classify = caller.channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
    assert status_of(lambda: classify(b"")) == "UNIMPLEMENTED"


def test_health_of_whole_models_and_services(caller):
    for service in ("", contract.MODEL_NAME, "tensorflow.serving.PredictionService"):
        assert caller.health(service) == "SERVING"
    assert status_of(lambda: caller.health("other")) == "NOT_FOUND"


def test_a_message_above_the_limit_is_refused(caller):
    code = status_of(lambda: caller.raw(bytes(contract.MAX_MESSAGE_BYTES + 1), timeout=120))
    assert code == "RESOURCE_EXHAUSTED"


def test_a_compressed_message_costs_nothing(caller):
    """Compression packs 64 GB into a message of 64 MB; none is taken."""
    bomb = bytes(8 * 1024 * 1024)
    assert len(zlib.compress(bomb)) < 10_000
    code = status_of(lambda: caller.raw(bomb, timeout=30, compression=grpc.Compression.Gzip))
    assert code == "UNIMPLEMENTED"


def test_metrics_page(running, caller):
    caller.predict(images_request())
    address = f"http://127.0.0.1:{running.http_port}"
    with urllib.request.urlopen(address + contract.METRICS_PATH, timeout=10) as page:
        text = page.read().decode()
    counted = 'requests_total{code="OK",model="dmenet",signature="serving_default"}'
    assert f"dmenet_{counted}" in text
    assert 'dmenet_model_version_loaded{model="dmenet",version="1"} 1.0' in text
    for name in ("request_seconds_bucket", "queue_length", "model_load_failures", "batch_size"):
        assert f"dmenet_{name}" in text
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address, timeout=10)


def test_callers_cannot_make_new_series(running, caller):
    request = images_request(model="nobody's model")
    request.model_spec.signature_name = "nor signature"
    caller.code(request)
    names = {
        sample.labels.get("model")
        for m in running.metrics.registry.collect()
        for sample in m.samples
    }
    assert names <= {None, contract.MODEL_NAME, "unknown"}

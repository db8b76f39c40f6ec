"""The embedded server as a client sees it: real calls over loopback to a tiny model."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
)

from serving import contract, server
from serving.embedded import loading
from serving.server import Server, ServerOptions
from tests.support.servers import FakeContext, make_certificates, metric, serve, wait_until
from tests.support.serving_calls import (
    Caller,
    encoded_request,
    image_file,
    images_request,
    status_of,
)
from tests.support.tiny_models import write_model

SLOW = 500  # rounds: some tenths of a second


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / contract.MODEL_NAME, 1)
    return folder


@pytest.fixture(scope="module")
def slow_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow_models")
    write_model(folder / contract.MODEL_NAME, 1, slow=SLOW)
    return folder


@pytest.fixture(scope="module")
def running(models):
    with serve(models, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def caller(running):
    with Caller(running.port) as caller:
        yield caller


# --- Predict ----------------------------------------------------------------------------------


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


def test_output_filter_chooses(caller):
    request = images_request()
    request.output_filter.extend([contract.DEFOCUS, contract.DEFOCUS])
    assert list(caller.predict(request).outputs) == [contract.DEFOCUS]


def test_requests_of_one_batch_get_their_own_answers(models):
    """While the only place is taken, the others have to queue, and leave it as batches."""
    values = np.linspace(0, 1, 24, dtype=np.float32)
    shapes = [(1, 8, 12, 3), (1, 12, 8, 3)]
    with (
        serve(models, concurrency=1, max_batch=4) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(len(values)) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            requests = [
                images_request(np.full(shapes[i % 2], value, np.float32))
                for i, value in enumerate(values)
            ]
            waiting = [pool.submit(caller.predict, request) for request in requests]
            wait_until(lambda: one.scheduler.waiting == len(values))
        answers = [future.result() for future in waiting]
        together = metric(one, "dmenet_batch_size_sum") / metric(one, "dmenet_batch_size_count")
    for index, (value, answer) in enumerate(zip(values, answers, strict=True)):
        sigma = tf.make_ndarray(answer.outputs[contract.SIGMA_PX])
        assert sigma.shape[1:3] == shapes[index % 2][1:3]
        np.testing.assert_allclose(sigma, 7 * value, atol=1e-5)
    assert together == 4


def test_a_bad_request_does_not_spoil_its_batch(models):
    with (
        serve(models, concurrency=1, max_batch=4) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(4) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            values = [0.5, 0.25, np.nan, 1.0]
            codes = [
                pool.submit(caller.code, images_request(np.full([1, 8, 8, 3], value, np.float32)))
                for value in values
            ]
            wait_until(lambda: one.scheduler.waiting == 4)
        codes = [future.result() for future in codes]
        assert metric(one, "dmenet_batch_size_sum") == 16  # each of the four was in a batch of four
    assert codes == ["OK", "OK", "INVALID_ARGUMENT", "OK"]


# --- models and metadata ----------------------------------------------------------------------


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


# --- limits, queue, deadlines -----------------------------------------------------------------


def test_a_message_above_the_limit_is_refused(caller):
    code = status_of(lambda: caller.raw(bytes(contract.MAX_MESSAGE_BYTES + 1), timeout=30))
    assert code == "RESOURCE_EXHAUSTED"


def test_a_compressed_message_costs_nothing(caller):
    """Compression packs 64 GB into a message of 64 MB; none is taken."""
    bomb = bytes(8 * 1024 * 1024)
    assert len(zlib.compress(bomb)) < 10_000
    code = status_of(lambda: caller.raw(bomb, timeout=30, compression=grpc.Compression.Gzip))
    assert code == "UNIMPLEMENTED"


def test_a_full_queue_refuses_at_once(models):
    with (
        serve(models, concurrency=1, queue=2) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(2) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            waiting = [pool.submit(caller.code, images_request()) for _ in range(2)]
            wait_until(lambda: one.scheduler.waiting == 2)
            assert caller.code(images_request()) == "UNAVAILABLE"
            assert caller.health() == "SERVING"
        assert [future.result() for future in waiting] == ["OK", "OK"]


def test_what_expired_or_was_cancelled_in_the_queue_is_not_computed(models):
    with serve(models, concurrency=1) as one, Caller(one.port) as caller:
        with one.scheduler.place(FakeContext()):
            assert caller.code(images_request(), timeout=0.1) == "DEADLINE_EXCEEDED"
            wait_until(lambda: one.scheduler.waiting == 0)
            call = caller.prediction.Predict.future(images_request())
            wait_until(lambda: one.scheduler.waiting == 1)
            call.cancel()
            wait_until(lambda: one.scheduler.waiting == 0)
            assert metric(one, "dmenet_batch_size_count") == 0
        assert caller.code(images_request()) == "OK"
        assert metric(one, "dmenet_batch_size_count") == 1
        assert metric(one, "dmenet_requests_total", code="DEADLINE_EXCEEDED") == 1
        assert metric(one, "dmenet_requests_total", code="CANCELLED") == 1


def test_a_deadline_that_passes_in_the_model_frees_its_place(slow_models):
    with serve(slow_models, concurrency=1) as one, Caller(one.port) as caller:
        started = time.monotonic()
        caller.predict(images_request())
        whole = time.monotonic() - started
        assert caller.code(images_request(), timeout=whole / 5) == "DEADLINE_EXCEEDED"
        assert caller.code(images_request()) == "OK"


# --- life of a server -------------------------------------------------------------------------


def test_not_serving_while_a_model_is_loaded(models, monkeypatch):
    go, load = threading.Event(), loading.load

    def held(*arguments):
        go.wait(30)
        return load(*arguments)

    monkeypatch.setattr(loading, "load", held)
    one = serve(models).start()
    try:
        with Caller(one.port) as caller:
            assert caller.health() == caller.health(contract.MODEL_NAME) == "NOT_SERVING"
            assert caller.code(images_request()) == "UNAVAILABLE"
            go.set()
            assert one.wait_until_serving(30)
            assert caller.health() == "SERVING"
            assert caller.code(images_request()) == "OK"
    finally:
        go.set()
        one.stop()


def test_metrics_page(running, caller):
    caller.predict(images_request())
    address = f"http://127.0.0.1:{running.metrics_port}"
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


def test_sigterm_lets_requests_under_way_finish(slow_models):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "serving.server", "--models", slow_models, "--metrics-port=-1"),
        *("--address", f"127.0.0.1:{port}", "--concurrency", "1"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        with Caller(port) as caller, ThreadPoolExecutor(3) as pool:
            wait_until(
                lambda: status_of(caller.health) == "OK" and caller.health() == "SERVING", 60
            )
            under_way = [pool.submit(caller.code, images_request()) for _ in range(3)]
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert [future.result() for future in under_way] == ["OK"] * 3
            assert caller.code(images_request(), timeout=5) == "UNAVAILABLE"
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert "not TensorFlow Serving" in log and "stopped" in log
    assert "Traceback" not in log


def test_while_stopping_new_requests_are_told_to_try_elsewhere(models):
    one = serve(models, concurrency=1, grace_seconds=20).start()
    assert one.wait_until_serving(60)
    with Caller(one.port) as caller, ThreadPoolExecutor(2) as pool:
        with one.scheduler.place(FakeContext()):
            under_way = pool.submit(caller.code, images_request())
            wait_until(lambda: one.scheduler.waiting == 1)
            stopped = pool.submit(one.stop)
            wait_until(lambda: caller.health() == "NOT_SERVING")
            assert caller.code(images_request()) == "UNAVAILABLE"
        assert under_way.result() == "OK"
        assert stopped.result() is True


def test_grace_ends(models):
    one = serve(models, concurrency=1, grace_seconds=0.2).start()
    assert one.wait_until_serving(60)
    with (
        Caller(one.port) as caller,
        ThreadPoolExecutor(1) as pool,
        one.scheduler.place(FakeContext()),
    ):
        waiting = pool.submit(caller.code, images_request())
        wait_until(lambda: one.scheduler.waiting == 1)
        assert one.stop() is False
        assert waiting.result() == "UNAVAILABLE"


# --- TLS --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """name -> (certificate, key) of an authority, a server "localhost" and a client."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


def test_tls_and_mutual_tls(models, certificates):
    authority = certificates["authority"][0]
    certificate, key = certificates["localhost"]
    plain = grpc.ssl_channel_credentials(authority.read_bytes())
    own_certificate, own_key = (path.read_bytes() for path in certificates["client"])
    mutual = grpc.ssl_channel_credentials(authority.read_bytes(), own_key, own_certificate)
    with serve(models, tls_certificate=certificate, tls_key=key) as one:
        with Caller(one.port, plain, "localhost") as caller:
            assert caller.code(images_request()) == "OK"
        with Caller(one.port) as caller:
            assert caller.code(images_request(), 5) == "UNAVAILABLE"
    with serve(models, tls_certificate=certificate, tls_key=key, client_ca=authority) as one:
        with Caller(one.port, mutual, "localhost") as caller:
            assert caller.code(images_request()) == "OK"
        with Caller(one.port, plain, "localhost") as caller:
            assert caller.code(images_request(), 5) == "UNAVAILABLE"


# --- the command line -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--models", "nowhere"], "there is no folder nowhere"),
        (["--config", "nowhere"], "must be readable"),
        (["--address", "8500"], "must be HOST:PORT"),
        (["--queue", "-1"], "queue must be at least 0"),
        (["--max-batch", "3"], "power of two"),
        (["--tls-key", "key.pem"], "both, a certificate and a key"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_errors_are_one_line(arguments, why, models, capsys):
    if "--models" not in arguments:
        arguments = ["--models", str(models), *arguments]
    assert server.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and why in error and error.count("\n") == 1


def test_a_port_that_is_taken(running, models):
    with pytest.raises(OSError, match="must be a free address"):
        Server(ServerOptions(models=models, address=f"127.0.0.1:{running.port}"))
    with pytest.raises(OSError, match="metrics: 127.0.0.1:.* must be free"):
        serve(models, metrics_port=running.metrics_port).start()


def test_another_address_without_tls_is_warned_of(models, caplog):
    one = Server(ServerOptions(models=models, address="0.0.0.0:0")).start()
    with caplog.at_level(logging.INFO):
        server._tell(one)
    one.stop()
    assert [r.levelname for r in caplog.records if "without TLS" in r.message] == ["WARNING"]


def test_help_says_what_it_is_not_and_needs_no_tensorflow():
    code = (
        "import sys\nfrom serving.server import build_parser\n"
        "print(build_parser().format_help()); assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "not TensorFlow Serving" in " ".join(result.stdout.split())


# --- helpers ----------------------------------------------------------------------------------

"""The life of a server: start, stop, signals, TLS and ports."""

import io
import logging
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from serving import contract, server
from serving.embedded import loading
from serving.server import Server, ServerOptions
from tests.support.http_calls import ask
from tests.support.server_process import ServerProcess
from tests.support.servers import FakeContext, make_certificates, serve, wait_until
from tests.support.serving_calls import Caller, image_file, images_request


def test_not_serving_while_a_model_is_loaded(models, monkeypatch):
    go, load = threading.Event(), loading.load

    def held(*arguments):
        go.wait(120)
        return load(*arguments)

    monkeypatch.setattr(loading, "load", held)
    one = serve(models).start()
    try:
        with Caller(one.port) as caller:
            assert caller.health() == caller.health(contract.MODEL_NAME) == "NOT_SERVING"
            assert caller.code(images_request()) == "UNAVAILABLE"
            go.set()
            assert one.wait_until_serving(120)
            assert caller.health() == "SERVING"
            assert caller.code(images_request()) == "OK"
    finally:
        go.set()
        one.stop()


@pytest.mark.process
def test_sigterm_lets_requests_under_way_finish(slow_models):
    options = ("--jobs", "1", "--metrics-port", "0", "--grace-period", "300")
    with (
        ServerProcess(slow_models, *options) as server,
        Caller(int(server.address.split(":")[1])) as caller,
        ThreadPoolExecutor(3) as pool,
    ):
        wait_until(lambda: server.said(r"metrics on (\S+)\n"))
        metrics = server.said(r"metrics on (\S+)\n").group(1)
        under_way = [pool.submit(caller.code, images_request()) for _ in range(3)]
        wait_until(lambda: "dmenet_requests_in_flight 3.0" in read(metrics))
        server.terminate()
        assert [future.result() for future in under_way] == ["OK"] * 3
        assert server.wait(300) == 0, server.log
        assert caller.code(images_request()) == "UNAVAILABLE"
    assert server.said("not TensorFlow Serving") and server.said("stopped")
    assert not server.said("Traceback")


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as page:
        return page.read().decode()


def test_while_stopping_new_requests_are_told_to_try_elsewhere(models):
    one = serve(models, jobs=1, grace_s=20).start()
    assert one.wait_until_serving(120)
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
    one = serve(models, jobs=1, grace_s=0.2).start()
    assert one.wait_until_serving(120)
    with (
        Caller(one.port) as caller,
        ThreadPoolExecutor(1) as pool,
        one.scheduler.place(FakeContext()),
    ):
        waiting = pool.submit(caller.code, images_request())
        wait_until(lambda: one.scheduler.waiting == 1)
        assert one.stop() is False
        assert waiting.result() == "UNAVAILABLE"


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
            assert caller.code(images_request()) == "UNAVAILABLE"
    with serve(models, tls_certificate=certificate, tls_key=key, tls_ca=authority) as one:
        with Caller(one.port, mutual, "localhost") as caller:
            assert caller.code(images_request()) == "OK"
        with Caller(one.port, plain, "localhost") as caller:
            assert caller.code(images_request()) == "UNAVAILABLE"


def test_a_port_that_is_taken(running, models):
    with pytest.raises(OSError, match="must be a free address"):
        Server(ServerOptions(models=models, address=f"127.0.0.1:{running.port}"))
    with pytest.raises(OSError, match="HTTP: 127.0.0.1:.* must be free"):
        serve(models, http_port=running.http_port).start()


def test_what_has_nothing_to_serve_says_so(tmp_path, caplog):
    (tmp_path / "holiday" / "photos").mkdir(parents=True)
    with caplog.at_level(logging.INFO):
        one = serve(tmp_path).start()
        server._tell(one, tmp_path)
    one.stop()
    (line,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert f"nothing can be served of {tmp_path / 'holiday'}" in line and "saved_model.pb" in line


@pytest.mark.process
def test_weights_are_exported_for_as_long_as_the_server_runs(tmp_path):
    from dmenet_tf.weights.shipped import SHIPPED

    environment = {"TMPDIR": str(tmp_path)}
    with ServerProcess(None, "--weights", str(SHIPPED), "--http-port", "0", **environment) as one:
        wait_until(lambda: one.said(r"HTTP on http://127.0.0.1:(\d+)"))
        port = int(one.said(r"HTTP on http://127.0.0.1:(\d+)").group(1))
        answer = ask(port, "POST", "/photo?format=npy", image_file(40, 60))
        assert answer.status == 200
        assert np.load(io.BytesIO(answer.body)).shape == (40, 60)
        assert any(tmp_path.iterdir())
        one.terminate()
        assert one.wait(120) == 0
    assert not any(tmp_path.iterdir())
    assert one.said("serving .*photo.npz on")


def test_another_address_without_tls_is_warned_of(models, caplog):
    one = Server(ServerOptions(models=models, address="0.0.0.0:0")).start()
    with caplog.at_level(logging.INFO):
        server._tell(one, "models")
    one.stop()
    assert [r.levelname for r in caplog.records if "without TLS" in r.message] == ["WARNING"]

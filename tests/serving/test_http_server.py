"""The embedded server's HTTP: limits, connections, queue, deadlines, callers who leave, TLS."""

import gzip
import json
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import contract
from serving.embedded.http_server import HttpServer, Reply
from tests.support.http_calls import ask, trusting
from tests.support.servers import FakeContext, make_certificates, metric, serve, wait_until

PREDICT = f"/v1/models/{contract.MODEL_NAME}:predict"
GREY = json.dumps({"inputs": [[[[0.5, 0.5, 0.5]]]]}).encode()


def raw(port: int, *lines: str, body: bytes = b"") -> bytes:
    """What comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


@pytest.fixture
def echo():
    """An HTTP server without a model, which gives bodies back."""
    server = HttpServer("127.0.0.1", 0, lambda r: Reply(200, r.body), connections=2, body_s=60)
    server.start()
    yield server
    server.close()


def test_a_body_must_have_a_length_and_no_compression(echo):
    start = "POST / HTTP/1.1", "Host: x"
    assert raw(echo.port, *start).startswith(b"HTTP/1.1 411 ")
    assert raw(echo.port, *start, "Transfer-Encoding: chunked").startswith(b"HTTP/1.1 411 ")
    assert raw(echo.port, *start, "Content-Length: -1").startswith(b"HTTP/1.1 411 ")
    packed = gzip.compress(GREY)
    answer = ask(echo.port, "POST", "/", packed, Content_Encoding="gzip")
    assert answer.status == 415 and "compressed" in answer.error


def test_a_large_body_is_refused_before_it_is_sent(echo):
    length = f"Content-Length: {contract.MAX_MESSAGE_BYTES + 1}"
    start = "POST / HTTP/1.1", "Host: x", length
    assert raw(echo.port, *start, "Expect: 100-continue").startswith(b"HTTP/1.1 413 ")
    # And the reply arrives at a caller that sends without asking.
    answer = ask(echo.port, "POST", "/", bytes(contract.MAX_MESSAGE_BYTES + 1))
    assert answer.status == 413 and str(contract.MAX_MESSAGE_BYTES) in answer.error


def test_a_caller_that_asks_first_is_let_go_on(echo):
    start = "POST / HTTP/1.1", "Host: x", "Content-Length: 2", "Connection: close"
    reply = raw(echo.port, *start, "Expect: 100-continue", body=b"ab")
    assert reply.startswith(b"HTTP/1.1 100 ") and reply.endswith(b"ab")


def test_one_connection_takes_several_requests(echo):
    one = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    reply = raw(echo.port, one + "\r\nab" + one + "Connection: close", body=b"cd")
    assert reply.count(b"HTTP/1.1 200 OK") == 2 and reply.endswith(b"cd")


def test_what_is_no_http_is_refused(echo):
    assert raw(echo.port, "nonsense").endswith(b"}")
    assert raw(echo.port, "BREW / HTTP/1.1", "Host: x").startswith(b"HTTP/1.1 501 ")


def test_connections_beyond_the_limit_are_told_to_try_again(echo):
    held = [socket.create_connection(("127.0.0.1", echo.port)) for _ in range(2)]
    for connection in held:  # each has its thread when its request is answered
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    answer = ask(echo.port, "GET", "/")
    assert answer.status == 503 and answer.headers["Retry-After"]
    for connection in held:
        connection.close()
    wait_until(lambda: ask(echo.port, "GET", "/").status == 200)


def test_a_body_that_does_not_come_in_time():
    server = HttpServer("127.0.0.1", 0, lambda r: Reply(200, r.body), connections=2, body_s=0.0)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    server.close()


def test_queue_and_deadline_are_those_of_grpc(models):
    with (
        serve(models, jobs=1, queue=0, http_port=0) as full,
        full.scheduler.place(FakeContext()),
    ):
        answer = ask(full.http_port, "POST", PREDICT, GREY)
        assert answer.status == 503 and "queue is full" in answer.error
        assert answer.headers["Retry-After"]
    with (
        serve(models, jobs=1, http_port=0, http_timeout_s=0.2) as slow,
        slow.scheduler.place(FakeContext()),
    ):
        answer = ask(slow.http_port, "POST", PREDICT, GREY)
        assert answer.status == 504 and "deadline" in answer.error
        assert metric(slow, "dmenet_requests_total", code="DEADLINE_EXCEEDED") == 1


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="Linux tells it, others do not")
def test_who_leaves_is_taken_out_of_the_queue(models):
    with serve(models, jobs=1, http_port=0) as one, one.scheduler.place(FakeContext()):
        connection = socket.create_connection(("127.0.0.1", one.http_port))
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(GREY)}\r\n\r\n"
        connection.sendall(head.encode() + GREY)
        wait_until(lambda: one.scheduler.waiting == 1)
        connection.close()
        wait_until(lambda: one.scheduler.waiting == 0)
        wait_until(lambda: metric(one, "dmenet_requests_total", code="CANCELLED") == 1)


def test_while_stopping_new_requests_are_503_and_those_under_way_end(models):
    one = serve(models, jobs=1, grace_s=60, http_port=0).start()
    assert one.wait_until_serving(120)
    with ThreadPoolExecutor(2) as pool:
        with one.scheduler.place(FakeContext()):
            under_way = pool.submit(ask, one.http_port, "POST", PREDICT, GREY)
            wait_until(lambda: one.scheduler.waiting == 1)
            port, stopped = one.http_port, pool.submit(one.stop)
            wait_until(lambda: ask(port, "GET", contract.HEALTH_PATH).status == 503)
            assert ask(port, "POST", PREDICT, GREY).status == 503
        assert under_way.result().status == 200
        assert stopped.result() is True


def test_tls_and_mutual_tls(models, tmp_path):
    made = make_certificates(tmp_path)
    authority, (certificate, key) = made["authority"][0], made["localhost"]
    plain = trusting(authority)
    mutual = trusting(authority, *made["client"])
    options = {"tls_certificate": certificate, "tls_key": key, "http_port": 0}

    def status(server, context):
        return ask(server.http_port, "POST", PREDICT, GREY, context, "localhost").status

    with serve(models, **options) as one:
        assert status(one, plain) == 200
        with pytest.raises(OSError):
            ask(one.http_port, "POST", PREDICT, GREY)
        assert status(one, plain) == 200
    with serve(models, tls_ca=authority, **options) as one:
        assert status(one, mutual) == 200
        with pytest.raises(OSError):
            status(one, plain)

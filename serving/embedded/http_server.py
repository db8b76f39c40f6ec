"""HTTP over TCP or TLS: connections, requests and their limits; what is answered, `routes.py` says.

The standard library's `ThreadingHTTPServer`: the service computes in the thread of its caller and
blocks there while it waits, as gRPC's handlers do, which suits a thread a connection; the web
servers that the packages here bring (uvicorn, with gradio) are asynchronous and would hand each
request to such a thread.
"""

import contextlib
import http
import http.server
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from serving import contract

_SILENCE_S = 10  # for which a silent caller may hold a connection
_LINGER_S, _LINGER_BYTES = 2.0, 4 * contract.MAX_MESSAGE_BYTES
_CHUNK_BYTES = 64 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """`path` as it was sent, with its query; `connection` for `HttpCall`."""

    method: str
    path: str
    headers: object
    body: bytes
    connection: socket.socket


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def error_reply(status: int, message: str) -> Reply:
    """As TensorFlow Serving writes errors."""
    text = message.encode(errors="replace").decode()
    headers = {"Retry-After": "1"} if status == http.HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Reply(status, orjson.dumps({"error": text}), headers=headers)


class HttpServer:
    """Listens from its creation on, answers from `start` to `close`; port 0: a free one, `port`.

    Args:
        answer: called with a request, in a thread of its own; returns the reply.
        connections: at a time; another one is told to try again.
        body_s: max seconds for the body of a request.
        tls: of HTTPS; None for HTTP.
    Raises OSError for an address that is not free.
    """

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[Request], Reply],
        connections: int,
        body_s: float,
        tls: ssl.SSLContext | None = None,
    ):
        self._server = _Server(host, port, connections, tls)
        self._server.answer, self._server.body_s = answer, body_s
        self.port = self._server.server_address[1]

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def close(self, seconds: float = 1.0) -> None:
        """Takes no more connections; replies that are being sent have `seconds`."""
        self._server.shutdown()
        self._server.wait_until_answered(seconds)
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    answer: Callable[[Request], Reply]
    body_s: float

    def __init__(self, host: str, port: int, connections: int, tls: ssl.SSLContext | None):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(connections)
        self._tls = tls
        self._answering, self._answered = 0, threading.Condition()
        super().__init__((host, port), _Handler)

    def server_bind(self):
        # The library's own asks the name service for this machine's name, which can take seconds.
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        if not self._places.acquire(blocking=False):
            self._refuse(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request, client_address):
        try:
            if self._tls is not None:
                request.settimeout(_SILENCE_S)
                request = self._tls.wrap_socket(request, server_side=True)
            super().process_request_thread(request, client_address)
        except OSError:  # no TLS, or none that is accepted
            self.shutdown_request(request)
        finally:
            self._places.release()

    def handle_error(self, request, client_address):
        _log.debug("a connection failed", exc_info=True)  # as when a caller leaves

    def answering(self, change: int) -> None:
        with self._answered:
            self._answering += change
            self._answered.notify_all()

    def wait_until_answered(self, seconds: float) -> None:
        with self._answered:
            self._answered.wait_for(lambda: not self._answering, seconds)

    def _refuse(self, request) -> None:
        if self._tls is None:
            body = error_reply(503, "all connections are taken").body
            head = (
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
            )
            request.setblocking(False)  # it fits into the buffer of any socket
            with contextlib.suppress(OSError):
                request.send(head.encode() + body)
        self.shutdown_request(request)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S
    server: _Server

    def do_GET(self):
        self._reply_to(b"")

    def do_POST(self):
        # Until it is read, what follows on this connection is no request.
        self.close_connection = True
        refusal = self._refusal_of_body()
        if refusal is not None:
            self._send(refusal)
            self._linger()
            return
        body = self._read_body(int(self.headers["Content-Length"]))
        if body is None:
            self._send(error_reply(408, f"the body must come within {self.server.body_s:g} s"))
            return
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        self._reply_to(body)

    def handle_expect_100(self):
        """Lets a caller send its body only where it is going to be read."""
        refusal = self._refusal_of_body()
        if refusal is None:
            return super().handle_expect_100()
        self.close_connection = True
        self._send(refusal)
        return False

    def send_error(self, code, message=None, explain=None):
        """What the library refuses by itself, as an unknown method."""
        self.close_connection = True
        self._send(error_reply(code, message or http.HTTPStatus(code).phrase))

    def version_string(self):
        return "DMENet-TF"

    def log_message(self, *_):
        pass  # a line for each scrape and request would only fill the log; the metrics count them

    def _refusal_of_body(self) -> Reply | None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isdecimal() and length.isascii()):
            return error_reply(411, "a request must have a Content-Length, and come in one piece")
        if len(length) > 18 or int(length) > contract.MAX_MESSAGE_BYTES:
            return error_reply(
                413,
                f"a request must have at most {contract.MAX_MESSAGE_BYTES} bytes; "
                f"received {length[:20]}",
            )
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            return error_reply(415, "a body must not be compressed: it may expand a thousandfold")
        return None

    def _read_body(self, length: int) -> bytes | None:
        """The body; None where it does not come in time."""
        body, end = bytearray(), time.monotonic() + self.server.body_s
        while len(body) < length:
            try:
                chunk = self.rfile.read1(min(_CHUNK_BYTES, length - len(body)))
            except TimeoutError:
                return None
            if not chunk:
                raise ConnectionError("the caller left within its request")
            body += chunk
            if time.monotonic() > end:
                return None
        return bytes(body)

    def _reply_to(self, body: bytes) -> None:
        self.server.answering(1)
        try:
            request = Request(self.command, self.path, self.headers, body, self.connection)
            self._send(self.server.answer(request))
        finally:
            self.server.answering(-1)

    def _send(self, reply: Reply) -> None:
        if reply.status in http.HTTPStatus._value2member_map_:
            self.send_response(reply.status)
        else:
            self.send_response(reply.status, "Client Closed Request")  # 499, which is nginx's
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def _linger(self) -> None:
        """Reads on for a moment: a connection closed with bytes unread loses the reply as well."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_LINGER_S)
        end, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
        while left > 0 and time.monotonic() < end:
            chunk = self.rfile.read1(_CHUNK_BYTES)
            if not chunk:
                return
            left -= len(chunk)

"""One connection to a PredictionService: calls with deadlines, and retries where they are safe.

A prediction changes nothing on the server, so a failed call may be repeated. Only UNAVAILABLE is:
it is the status of a server that is starting, stopping, full or killed, and any other status would
be the same the next time. `ClientOptions` sets the times.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from serving import contract, wire

# How often the connection itself is retried: a retried call should not have to wait for it.
_RECONNECT_MS = {"initial": 200, "max": 2_000}
_CONNECT_TIMEOUT_MS = 10_000  # of one attempt, TLS handshake included
_LOOPBACK = ("127.", "localhost:", "[::1]:")

ADVICE = {
    "UNAVAILABLE": "is the server running there, and does one side expect TLS and the other not?",
    "NOT_FOUND": "ask for a model, version or label that the server has",
    "DEADLINE_EXCEEDED": "give it more time, fewer jobs or smaller tiles",
    "UNIMPLEMENTED": "that server has no such method: is it a different service?",
    "RESOURCE_EXHAUSTED": "smaller tiles make smaller messages",
    "FAILED_PRECONDITION": "that model lacks this signature: was it exported by this program?",
    "UNAUTHENTICATED": "the server requires credentials",
}


class ServingError(ConnectionError):
    """A call failed; `code` is the name of its gRPC status, such as "UNAVAILABLE"."""

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ClientOptions:
    """How the client calls a server.

    A call takes at most about `timeout_s` + `retry_s` in all.
    """

    model: str = contract.MODEL_NAME
    version: int | None = None
    """A version of the model. With neither a version nor a label: the server's newest."""
    label: str = ""
    """Instead of `version`: a label that the server gives to one, such as "stable"."""
    timeout_s: float = 300.0
    """Deadline of each attempt, from sending the request to the last byte of the reply: it covers
    connecting, the server's queue and the model. A call that exceeds it is not retried."""
    retry_s: float = 120.0
    """For how long after its first failure a call that meets UNAVAILABLE is retried: longer than a
    server takes to restart. 0: never."""
    backoff_first_s: float = 0.2
    backoff_max_s: float = 3.0
    """The pause before a retry; doubled each time, up to the maximum."""
    jitter: float = 0.3
    """Pauses vary by this share, so that clients do not all return at once after an outage."""
    max_message_bytes: int = contract.MAX_MESSAGE_BYTES
    """Both ways; replaces gRPC's own limit of 4 MB on received messages."""
    tls: bool = False
    """TLS with the system's certificate authorities; any of the following turns it on too."""
    tls_ca: str | Path = ""
    """File (PEM) of the authorities that sign the server's certificate."""
    tls_certificate: str | Path = ""
    tls_key: str | Path = ""
    """Files (PEM) that identify this client to the server: both or neither."""
    tls_server_name: str = ""
    """The name in the server's certificate, if it is not the address's host."""

    def __post_init__(self):
        if self.version is not None and self.label:
            raise ValueError("a model must be requested by version or by label; received both")
        if self.version is not None and self.version < 1:
            raise ValueError(f"a version must be above 0; received {self.version}")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("a TLS certificate and its key go together; received only one of them")
        for name in ("timeout_s", "backoff_first_s", "backoff_max_s", "max_message_bytes"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0; received {getattr(self, name):g}")
        if not 0 <= self.retry_s < float("inf"):
            raise ValueError(f"retry_s must be at least 0; received {self.retry_s:g}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter must lie in [0, 1); received {self.jitter:g}")

    @property
    def secure(self) -> bool:
        return bool(self.tls or self.tls_ca or self.tls_certificate or self.tls_server_name)


class Client:
    """Calls to the service at `address`, HOST:PORT. Threads may share it; they share its channel.

    Every method raises `ServingError`, and takes a `retry_s` that overrides that of the options.
    `on_retry` is called with one line, once per outage, when a call is retried. Nothing is sent
    before the first call. A context manager; `close` ends calls under way with CANCELLED.
    """

    def __init__(
        self,
        address: str,
        options: ClientOptions | None = None,
        on_retry: Callable[[str], None] | None = None,
    ):
        self.address, self.options = check_address(address), options or ClientOptions()
        self._on_retry, self._closed = on_retry, threading.Event()
        self._lock, self._outage_told = threading.Lock(), False
        self._channel = _channel(self.address, self.options)
        self._predict = self._method(wire.PREDICT, wire.PredictResponse)
        self._status = self._method(wire.GET_MODEL_STATUS, wire.GetModelStatusResponse)
        self._health = self._method(wire.HEALTH_CHECK, wire.HealthCheckResponse)

    def predict_images(self, images, outputs=(), retry_s=None) -> dict:
        """`serving_default`: images [N, H, W, 3] float32 in [0, 1] -> {output: array or bytes}.

        outputs: which of `contract.OUTPUTS` to send back; empty: all.
        """
        images = np.asarray(images, np.float32)
        inputs = {contract.IMAGES: images}
        return self.predict(contract.SIGNATURE_IMAGES, inputs, outputs, retry_s)

    def predict_encoded(self, files: list[bytes], outputs=(), retry_s=None) -> dict:
        """`encoded`: JPEG or PNG files -> {output: array or list of bytes}, as above."""
        inputs = {contract.ENCODED_IMAGES: list(files)}
        return self.predict(contract.SIGNATURE_ENCODED, inputs, outputs, retry_s)

    def predict(self, signature: str, inputs: dict, outputs=(), retry_s=None) -> dict:
        """Any signature of the model: {tensor: array or list of bytes}, both ways."""
        request = wire.PredictRequest(model_spec=self._spec(signature), output_filter=outputs)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(wire.to_tensor(value))
        reply = self._call(self._predict, request, retry_s)
        try:
            values = {name: wire.from_tensor(tensor) for name, tensor in reply.outputs.items()}
        except ValueError as error:
            raise self.broken_reply(str(error)) from error
        missing = set(outputs or contract.OUTPUTS.get(signature, ())) - set(values)
        if missing:
            raise self.broken_reply(f"it lacks {', '.join(sorted(missing))}")
        return values

    def status(self, retry_s=None) -> dict[int, str]:
        """{version of the model: its state, such as "AVAILABLE"}."""
        request = wire.GetModelStatusRequest(model_spec=self._spec(""))
        versions = self._call(self._status, request, retry_s).model_version_status
        states = wire.POOL.FindEnumTypeByName("tensorflow.serving.ModelVersionStatus.State")
        return {v.version: states.values_by_number[v.state].name for v in versions}

    def health(self, service: str = "", retry_s=None) -> str:
        """Standard gRPC health: "SERVING", ...; TensorFlow Serving itself has none."""
        reply = self._call(self._health, wire.HealthCheckRequest(service=service), retry_s)
        kind = wire.POOL.FindEnumTypeByName("grpc.health.v1.HealthCheckResponse.ServingStatus")
        return kind.values_by_number[reply.status].name

    def broken_reply(self, what: str) -> ServingError:
        """The error for a reply that breaks `serving/contract.py`."""
        return ServingError(
            f"{self.address}: the reply must be that of a defocus model: {what}", "INTERNAL"
        )

    def close(self) -> None:
        self._closed.set()
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _method(self, path: str, response):
        return self._channel.unary_unary(
            path,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=response.FromString,
        )

    def _spec(self, signature: str):
        options = self.options
        spec = wire.ModelSpec(name=options.model, signature_name=signature)
        if options.version is not None:
            spec.version.value = options.version
        elif options.label:
            spec.version_label = options.label
        return spec

    def _call(self, method, request, retry_s):
        retry_s = self.options.retry_s if retry_s is None else retry_s
        pause, tries, first_failure = self.options.backoff_first_s, 0, None
        while True:
            tries += 1
            try:
                if self._closed.is_set():
                    raise ServingError(f"{self.address}: the connection was closed", "CANCELLED")
                reply = method(request, timeout=self.options.timeout_s)
                self._outage_told = False
                return reply
            except ValueError as error:  # closed between the check and the call
                raise ServingError(f"{self.address}: {error}", "CANCELLED") from error
            except grpc.RpcError as error:
                first_failure = first_failure or time.monotonic()
                wait = pause * random.uniform(1 - self.options.jitter, 1 + self.options.jitter)
                spent = time.monotonic() - first_failure
                if error.code() != grpc.StatusCode.UNAVAILABLE or spent + wait > retry_s:
                    raise self._error(error, tries, spent) from None
                self._tell(error)
            self._closed.wait(wait)
            pause = min(2 * pause, self.options.backoff_max_s)

    def _tell(self, error) -> None:
        with self._lock:
            told, self._outage_told = self._outage_told, True
        if self._on_retry and not told:
            self._on_retry(f"{self.address}: UNAVAILABLE ({_details(error)}); trying again")

    def _error(self, error, tries: int, spent: float) -> ServingError:
        code = error.code().name
        message = f"{self.address}: {code}: {_details(error)}"
        if tries > 1:
            message += f" (tried {tries} times in {spent:.0f} s)"
        advice = ADVICE.get(code)
        return ServingError(f"{message}; {advice}" if advice else message, code)


def _details(error) -> str:
    return " ".join((error.details() or "the server gave no reason").split())


def check_address(address: str) -> str:
    """HOST:PORT, IPv6 hosts in brackets; ValueError for anything else."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = host and not bracketed and not set(host) & set(":/[]@ ")
    if not (plain or (bracketed and len(host) > 2)) or not port.isascii() or not port.isdigit():
        raise ValueError(f"a server must be HOST:PORT, such as 127.0.0.1:8500; received {address}")
    if not 0 < int(port) < 65536:
        raise ValueError(f"a port must lie in 1 .. 65535; received {address}")
    return address


def _channel(address: str, options: ClientOptions) -> grpc.Channel:
    settings = [
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS["initial"]),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS["max"]),
        (
            "grpc.min_reconnect_backoff_ms",
            _CONNECT_TIMEOUT_MS,
        ),  # despite its name, it is used as that
        ("grpc.use_local_subchannel_pool", 1),  # clients share no connection
    ]
    if address.startswith(_LOOPBACK):
        settings.append(("grpc.enable_http_proxy", 0))  # no proxy leads to this machine
    if options.tls_server_name:
        settings.append(("grpc.ssl_target_name_override", options.tls_server_name))
    if not options.secure:
        return grpc.insecure_channel(address, settings)
    authorities, key, certificate = (
        _pem(path) if path else None
        for path in (options.tls_ca, options.tls_key, options.tls_certificate)
    )
    credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
    return grpc.secure_channel(address, credentials, settings)


def _pem(path) -> bytes:
    if not Path(path).is_file():
        raise FileNotFoundError(f"a TLS file must exist; there is no {path}")
    data = Path(path).read_bytes()
    if b"-----BEGIN " not in data:
        raise ValueError(f"a TLS file must be PEM (-----BEGIN ...); received {path}")
    return data

"""One connection to a PredictionService: calls with deadlines, and retries where they are safe.

A prediction changes nothing on the server, so a call that failed may be made again. That is done
for UNAVAILABLE alone, which is what a server that starts, stops, is full or was killed comes to:
any other status would be the same the next time. `ClientOptions` states the times.
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

# The connection itself is tried again this often; an answer to a retry should not wait for it.
_RECONNECT_MS = {"initial": 200, "max": 2_000}
_CONNECT_TIMEOUT_MS = 10_000  # of one attempt, TLS handshake included
_LOOPBACK = ("127.", "localhost:", "[::1]:")

ADVICE = {
    "UNAVAILABLE": "is the server running there, and does one side expect TLS and the other not?",
    "NOT_FOUND": "ask for a model, version or label that the server has",
    "DEADLINE_EXCEEDED": "give it more time, fewer jobs or smaller tiles",
    "UNIMPLEMENTED": "the server there has no such method: is it another service?",
    "RESOURCE_EXHAUSTED": "smaller tiles make smaller messages",
    "FAILED_PRECONDITION": "the model there lacks this signature: was it exported by this program?",
    "UNAUTHENTICATED": "the server asks for credentials",
}


class ServingError(ConnectionError):
    """A call failed; `code` is the name of its gRPC status, such as "UNAVAILABLE"."""

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ClientOptions:
    """How a server is asked.

    A call takes at most `timeout_s` + `retry_s` in all, and a little for what is under way.
    """

    model: str = contract.MODEL_NAME
    version: int | None = None
    """A version of the model; None, without a label too: the server's newest."""
    label: str = ""
    """A label that the server gives to a version, such as "stable"; instead of `version`."""
    timeout_s: float = 300.0
    """Deadline of each try, from its sending to the last byte of its answer: connecting, the
    server's queue and the model are all within it. It is not tried again after that."""
    retry_s: float = 120.0
    """For how long from its first failure a call that meets UNAVAILABLE is tried again: above the
    time in which a server starts anew. 0: never."""
    backoff_first_s: float = 0.2
    backoff_max_s: float = 3.0
    """The pause before a retry, doubled each time up to the maximum."""
    jitter: float = 0.3
    """Pauses vary by this share, so that clients of a server that is back do not come at once."""
    max_message_bytes: int = contract.MAX_MESSAGE_BYTES
    """Both ways; gRPC's own limit of 4 MB for what is received is replaced by it."""
    tls: bool = False
    """TLS with the system's certificate authorities; any of the following turns it on too."""
    tls_ca: str | Path = ""
    """File of the authorities (PEM) that sign the server's certificate."""
    tls_certificate: str | Path = ""
    tls_key: str | Path = ""
    """Files (PEM) by which the server knows this client, both or none."""
    tls_server_name: str = ""
    """The name in the server's certificate, where it is not the address's host."""

    def __post_init__(self):
        if self.version is not None and self.label:
            raise ValueError("a model is asked for by version or by label; received both")
        if self.version is not None and self.version < 1:
            raise ValueError(f"a version must be above 0; received {self.version}")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("a TLS certificate and its key go together; received one of them")
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

    Every method raises `ServingError`, and takes `retry_s` instead of the options'. `on_retry` is
    told in one line, once an outage, that a call is being tried again. Nothing is sent before the
    first call. A context manager; `close` ends calls under way with CANCELLED.
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

        outputs: those of `contract.OUTPUTS` to send back; all where empty.
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
        """Standard gRPC health: "SERVING", ...; TensorFlow Serving itself has it not."""
        reply = self._call(self._health, wire.HealthCheckRequest(service=service), retry_s)
        kind = wire.POOL.FindEnumTypeByName("grpc.health.v1.HealthCheckResponse.ServingStatus")
        return kind.values_by_number[reply.status].name

    def broken_reply(self, what: str) -> ServingError:
        """The error of an answer that is not as `serving/contract.py` says."""
        return ServingError(f"{self.address}: the answer is not of this model: {what}", "INTERNAL")

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
        ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),  # named so, used as that
        ("grpc.use_local_subchannel_pool", 1),  # clients share no connection, and no fate
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

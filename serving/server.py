"""An embedded PredictionService for one machine.

    python -m serving.server --models models

A stand-in for TensorFlow Serving, and not TensorFlow Serving: the same calls, messages, folders and
a part of the same configuration, from Python, for a laptop, a demo or one modest machine, with no
extra install. For production there is serving/config.
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Before TensorFlow is imported; nearly twice as fast (dmenet_tf/folding.py).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from serving import contract

NOT_TENSORFLOW_SERVING = (
    "a stand-in for one machine, not TensorFlow Serving (for that: serving/config)"
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SPARE_THREADS = 16  # beside those that compute or wait: to refuse at once, for status and health
_log = logging.getLogger("serving")


@dataclass(frozen=True)
class ServerOptions:
    """Options of `Server`; those of the command line have the same names.

    `models` is a folder of models, `config` a models.config in its stead. `address` with port 0
    takes a free one. `metrics_port` None: no metrics page. Executions at a time (`concurrency`), each
    by `threads` threads of an operation (0: as many as cores). `max_batch` 1: no batches.
    """

    models: str | Path = "models"
    config: str | Path | None = None
    address: str = contract.DEFAULT_ADDRESS
    metrics_port: int | None = None
    poll_seconds: float = 2.0
    grace_seconds: float = 30.0
    queue: int = 32
    concurrency: int = 2
    threads: int = 0
    max_batch: int = 4
    batch_pixels: int = 65_536
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None
    client_ca: str | Path | None = None


class Server:
    """Serves from `start` (or `with`) to `stop`; `port` and `metrics_port` say where.

    Raises ValueError and OSError where options or configuration are wrong or a port is taken.
    """

    def __init__(self, options: ServerOptions):
        from serving.metrics import Metrics
        from serving.scheduling import Scheduler
        from serving.service import Service
        from serving.versions import Versions

        _check(options)
        self.options = options
        self.host, wanted_port = split_address(options.address)
        self.scheduler = Scheduler(options.concurrency, options.queue, options.max_batch)
        self.metrics = Metrics(lambda: self.scheduler.waiting)
        self._health = _Health()
        self.versions = Versions(_configs(options), partial(_load, options), self._changed)
        self.service = Service(self.versions, self.scheduler, self.metrics, options.batch_pixels)
        self._grpc = self._make_grpc_server()
        self.port = self._bind(wanted_port)
        self.metrics_port, self._metrics_server = None, None

    def start(self) -> "Server":
        """Returns at once; models are loaded in the background (`wait_until_serving`)."""
        from serving.metrics import MetricsServer

        if self.options.metrics_port is not None:
            port = self.options.metrics_port
            try:
                self._metrics_server = MetricsServer(self.host, port, self.metrics.registry)
            except OSError as error:
                self._grpc.stop(0)
                raise OSError(f"metrics: {self.host}:{port} must be free ({error})") from error
            self.metrics_port = self._metrics_server.port
        self._health.set(self.versions.serving())
        self._grpc.start()
        self.versions.start(self.options.poll_seconds)
        return self

    def wait_until_serving(self, seconds: float) -> bool:
        """Whether all models had a version to answer with, within `seconds`."""
        return self._health.serving.wait(seconds)

    def stop(self) -> bool:
        """Refuses new requests, waits `grace_seconds` for those under way; whether all ended."""
        self._health.stop()
        self.service.refuse_new()
        drained = self.service.wait_until_idle(self.options.grace_seconds)
        self.scheduler.reject_waiting("the server is stopping")
        # Replies are on their way for a moment after the handlers have ended.
        self._grpc.stop(1.0 if drained else 0.1).wait()
        if self._metrics_server is not None:
            self._metrics_server.close()
            self._metrics_server = None
        self.versions.stop()
        return drained

    def __enter__(self) -> "Server":
        self.start()
        self.wait_until_serving(120)
        return self

    def __exit__(self, *exception):
        self.stop()

    def _make_grpc_server(self):
        import grpc
        from grpc_health.v1 import health_pb2_grpc

        options = self.options
        threads = options.concurrency * options.max_batch + options.queue + _SPARE_THREADS
        server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="request"),
            options=[
                ("grpc.max_receive_message_length", contract.MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", contract.MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),  # else two servers share a port in silence
                # Identity alone: the limit above is of compressed bytes, which may hold 1000 times
                # as many.
                ("grpc.compression_enabled_algorithms_bitset", 1),
            ],
        )
        server.add_generic_rpc_handlers(self.service.handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        return server

    def _bind(self, port: int) -> int:
        address = f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"
        try:
            if self.options.tls_certificate is None:
                bound = self._grpc.add_insecure_port(address)
            else:
                bound = self._grpc.add_secure_port(address, _credentials(self.options))
        except RuntimeError as error:
            raise OSError(f"{address} must be a free address of this machine ({error})") from error
        if not bound:
            raise OSError(f"{address} must be a free address of this machine")
        return bound

    def _changed(self, version) -> None:
        from serving.versions import AVAILABLE, END

        labels = version.config.name, str(version.number)
        if version.state == AVAILABLE:
            self.metrics.loaded.labels(*labels).set(1)
        elif version.state == END and version.error:
            self.metrics.load_failures.labels(version.config.name).inc()
        elif version.state == END:
            with contextlib.suppress(KeyError):
                self.metrics.loaded.remove(*labels)
        self._health.set(self.versions.serving())


class _Health:
    """The standard health service: "" for the whole, each model, and each service by its name."""

    def __init__(self):
        from grpc_health.v1 import health

        self.servicer = health.HealthServicer()
        self.serving = threading.Event()
        self._lock = threading.Lock()
        self.set({})

    def set(self, models: dict[str, bool]) -> None:
        from grpc_health.v1.health_pb2 import HealthCheckResponse

        from serving.service import MODEL_SERVICE, PREDICTION_SERVICE

        ready = bool(models) and all(models.values())
        names = dict.fromkeys(["", PREDICTION_SERVICE, MODEL_SERVICE], ready)
        with self._lock:
            for name, fine in (names | models).items():
                known = HealthCheckResponse
                self.servicer.set(name, known.SERVING if fine else known.NOT_SERVING)
        if ready:
            self.serving.set()

    def stop(self) -> None:
        self.servicer.enter_graceful_shutdown()


def split_address(address: str) -> tuple[str, int]:
    """ "127.0.0.1:8500" or "[::1]:8500" -> host, port."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"an address must be HOST:PORT; received {address!r}")
    return host, int(port)


def _check(options: ServerOptions) -> None:
    for name, least in {"queue": 0, "concurrency": 1, "threads": 0, "max_batch": 1}.items():
        if getattr(options, name) < least:
            raise ValueError(
                f"{name.replace('_', '-')} must be at least {least}; received "
                f"{getattr(options, name)}"
            )
    if options.max_batch & (options.max_batch - 1):
        raise ValueError(f"max-batch must be a power of two; received {options.max_batch}")
    for name in ("poll_seconds", "grace_seconds"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise ValueError(f"{name.replace('_', '-')} must be 0 or more")
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise ValueError("TLS must have both, a certificate and a key")
    if options.client_ca is not None and options.tls_key is None:
        raise ValueError("client-ca must come with a certificate and a key of the server")


def _configs(options: ServerOptions):
    from serving import model_config

    if options.config is not None:
        models = model_config.read_config(options.config)
        return lambda: models
    model_config.models_in(options.models)
    return lambda: model_config.models_in(options.models)


def _load(options: ServerOptions, folder: Path):
    from serving.loaded_model import LoadedModel
    from serving.warmup import warm_up

    model = LoadedModel(folder, options.concurrency, options.max_batch, options.threads)
    try:
        warm_up(model, folder)
    except BaseException:
        model.close()
        raise
    return model


def _credentials(options: ServerOptions):
    import grpc

    key, certificate = (Path(p).read_bytes() for p in (options.tls_key, options.tls_certificate))
    authority = None if options.client_ca is None else Path(options.client_ca).read_bytes()
    return grpc.ssl_server_credentials(
        [(key, certificate)], authority, require_client_auth=authority is not None
    )


# --- command line ----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving.server",
        description="Answers TensorFlow Serving's gRPC calls: " + NOT_TENSORFLOW_SERVING + ".",
    )
    default, add = ServerOptions(), parser.add_argument
    add("--models", default=default.models, help="folder of MODEL/VERSION/ (default %(default)s)")
    add("--config", metavar="FILE", help="models.config instead of --models")
    add("--address", default=default.address, help="HOST:PORT (default %(default)s)")
    add("--metrics-port", type=int, default=contract.DEFAULT_METRICS_PORT, metavar="PORT",
        help=f"Prometheus, {contract.METRICS_PATH}; -1 for none (default %(default)s)")  # fmt: skip
    for name, kind, help in (
        ("poll_seconds", float, "looks for new versions so often"),
        ("grace_seconds", float, "when stopped, requests under way may take so long"),
        ("queue", int, "requests that may wait; more get UNAVAILABLE"),
        ("concurrency", int, "requests, or batches, computed at a time"),
        ("threads", int, "of an operation; 0: as many as cores"),
        ("max_batch", int, "small images computed as one, a power of two; 1: none"),
        ("batch_pixels", int, "pixels of a batch at most"),
    ):
        add(f"--{name.replace('_', '-')}", type=kind, default=getattr(default, name), metavar="N",
            help=f"{help} (default %(default)s)")  # fmt: skip
    add("--tls-certificate", metavar="PEM", help="serve with TLS")
    add("--tls-key", metavar="PEM", help="the certificate's key")
    add("--client-ca", metavar="PEM", help="clients must have a certificate of this authority")
    return parser


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    try:
        values = vars(build_parser().parse_args(argv))
        if values["metrics_port"] < 0:
            values["metrics_port"] = None
        return serve(ServerOptions(**values))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def serve(options: ServerOptions) -> int:
    """Serves until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = Server(options).start()
    _tell(server)
    stopping.wait()
    _log.info("stopping: requests under way have %g s", options.grace_seconds)
    drained = server.stop()
    _log.info("stopped" if drained else "stopped; requests under way were given up")
    if not drained:
        logging.shutdown()
        os._exit(0)  # their threads would keep the process
    return 0


def _tell(server: Server) -> None:
    options = server.options
    tls = "TLS" if options.tls_certificate else "no TLS"
    _log.info("%s", NOT_TENSORFLOW_SERVING)
    _log.info(
        "serving %s on %s:%d (%s)", options.config or options.models, server.host, server.port, tls
    )
    if server.metrics_port is not None:
        page = f"http://{server.host}:{server.metrics_port}{contract.METRICS_PATH}"
        _log.info("metrics on %s", page)
    if server.host not in _LOOPBACK and not options.tls_certificate:
        _log.warning(
            "%s can be reached from other machines, and without TLS photos travel readable",
            server.host,
        )


if __name__ == "__main__":
    sys.exit(main())

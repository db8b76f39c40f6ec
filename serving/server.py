"""An embedded PredictionService for one machine.

    dmenet serve                       with the shipped model
    dmenet serve --weights runs/demo
    dmenet serve --models models

A stand-in for TensorFlow Serving, in Python: the same calls, messages and folders and part of the
same configuration, for a laptop, a demo or one modest machine, without another installation. For
production, see serving/config.
"""

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data_gen import interrupts
from data_gen.environment import quiet_native_stderr
from data_gen.exit_codes import FAILED, INTERRUPTED, OK, USAGE
from data_gen.installation import not_installed
from dmenet_tf import environment
from dmenet_tf.console import UsageError
from serving import contract
from serving.embedded import temporary_model
from serving.embedded.memory import limit_arenas
from serving.embedded.options import (
    NOT_TENSORFLOW_SERVING,
    ServerOptions,
    build_parser,
    check,
    split_address,
)

__all__ = ["Server", "ServerOptions", "build_parser", "main"]

STOPS = (signal.SIGTERM, signal.SIGINT)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SPARE_THREADS = 16  # besides those that compute or wait: for refusals, status and health
_log = logging.getLogger("serving")


class Server:
    """Serves from `start` (or `with`) to `stop`, on `port` and `http_port`.

    Raises ValueError and OSError if options or configuration are wrong or a port is taken.
    """

    def __init__(self, options: ServerOptions):
        from serving.embedded import loading
        from serving.embedded.health import Health
        from serving.embedded.metrics import Metrics
        from serving.embedded.scheduling import Scheduler
        from serving.embedded.service import Service
        from serving.embedded.versions import Versions

        check(options)
        self.options = options
        self.host, wanted_port = split_address(options.address)
        self.scheduler = Scheduler(options.jobs, options.queue, options.max_batch)
        self.photos = Scheduler(options.jobs, options.queue)  # whole ones, over HTTP
        self.metrics = Metrics(lambda: self.scheduler.waiting)
        self._health = Health()
        self.versions = Versions(_configs(options), partial(loading.load, options), self._changed)
        self.service = Service(self.versions, self.scheduler, self.metrics, options.batch_pixels)
        self._grpc = self._make_grpc_server()
        self.port = self._bind(wanted_port)
        self.http_port, self._http = None, None

    def start(self) -> "Server":
        """Returns at once; models are loaded in the background (`wait_until_serving`)."""
        if self.options.http_port is not None:
            port = self.options.http_port
            try:
                self._http = self._make_http_server(port)
            except OSError as error:
                self._grpc.stop(0)
                raise OSError(f"HTTP: {self.host}:{port} must be free ({error})") from error
            self.http_port = self._http.port
        self._health.set(self.versions.serving())
        self._grpc.start()
        if self._http is not None:
            self._http.start()
        self.versions.start(self.options.polling_s)
        return self

    def wait_until_serving(self, seconds: float) -> bool:
        """Waits until all models can answer; whether they can within `seconds`."""
        return self._health.serving.wait(seconds)

    def stop(self) -> bool:
        """Refuses new requests, waits the grace period for those under way; whether all ended."""
        self._health.stop()
        self.service.refuse_new()
        drained = self.service.wait_until_idle(self.options.grace_s)
        for scheduler in (self.photos, self.scheduler):
            scheduler.reject_waiting("the server is stopping")
        # Replies are still being sent for a moment after their handlers have ended.
        self._grpc.stop(1.0 if drained else 0.1).wait()
        if self._http is not None:
            self._http.close(1.0 if drained else 0.1)
            self._http = None
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

        server = grpc.server(
            ThreadPoolExecutor(self._threads(), thread_name_prefix="request"),
            options=[
                ("grpc.max_receive_message_length", contract.MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", contract.MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),  # otherwise two servers could share a port unnoticed
                # No compression: the limit above is of compressed bytes, which may expand to 1000
                # times as many.
                ("grpc.compression_enabled_algorithms_bitset", 1),
            ],
        )
        server.add_generic_rpc_handlers(self.service.handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        return server

    def _threads(self) -> int:
        options = self.options
        return options.jobs * options.max_batch + options.queue + _SPARE_THREADS

    def _make_http_server(self, port: int):
        from serving.embedded.http_server import HttpServer
        from serving.embedded.photos import Photos
        from serving.embedded.routes import Routes
        from serving.embedded.tls import http_context

        options = self.options
        photos = Photos(self.service, self.photos)
        routes = Routes(self.service, photos, self._health, options.http_timeout_s)
        tls = None if options.tls_certificate is None else http_context(options)
        return HttpServer(
            self.host, port, routes.answer, self._threads(), options.http_timeout_s, tls
        )

    def _bind(self, port: int) -> int:
        from serving.embedded.tls import grpc_credentials

        address = f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"
        try:
            if self.options.tls_certificate is None:
                bound = self._grpc.add_insecure_port(address)
            else:
                bound = self._grpc.add_secure_port(address, grpc_credentials(self.options))
        except RuntimeError as error:
            raise OSError(f"{address} must be a free address of this machine ({error})") from error
        if not bound:
            raise OSError(f"{address} must be a free address of this machine")
        return bound

    def _changed(self, version) -> None:
        from serving.embedded.versions import AVAILABLE, END

        labels = version.config.name, str(version.number)
        if version.state == AVAILABLE:
            self.metrics.loaded.labels(*labels).set(1)
        elif version.state == END and version.error:
            self.metrics.load_failures.labels(version.config.name).inc()
        elif version.state == END:
            with contextlib.suppress(KeyError):
                self.metrics.loaded.remove(*labels)
        self._health.set(self.versions.serving())


def _configs(options: ServerOptions):
    from serving.embedded import model_config

    if options.config is not None:
        models = model_config.read_config(options.config)
        return lambda: models
    if options.models is None:
        raise ValueError("a server must have a folder of models or a models.config; received none")
    model_config.models_in(options.models)
    return lambda: model_config.models_in(options.models)


# --- command line ----------------------------------------------------------------------------


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    environment.prepare()
    try:
        return serve(_parse(argv))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except ImportError as error:
        print(f"error: {not_installed('`dmenet serve`', error, 'serving')}", file=sys.stderr)
        return FAILED
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parse(argv) -> ServerOptions:
    values = vars(build_parser().parse_args(argv))
    if values["http_port"] < 0:
        values["http_port"] = None
    options = ServerOptions(**values)
    try:
        check(options)
        split_address(options.address)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return options


def serve(options: ServerOptions) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if options.models is not None or options.config is not None:
            drained = _serve(options, options.config or options.models)
        else:
            drained = _serve_weights(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    if not drained:
        logging.shutdown()
        os._exit(OK)  # their threads would keep the process alive
    return OK


def _serve_weights(options: ServerOptions) -> bool:
    """Exports them to a temporary folder and serves it; whether all requests ended."""
    for number in STOPS:  # until the server takes them
        signal.signal(number, interrupts.interrupt)
    what = "the shipped model" if options.weights is None else str(options.weights)
    with tempfile.TemporaryDirectory(prefix="dmenet-serve-") as folder:
        _log.info(
            "exporting %s, which takes a minute; --models serves what was exported before", what
        )
        models = temporary_model.export(options.weights, Path(folder))
        return _serve(dataclasses.replace(options, weights=None, models=models), what)


def _serve(options: ServerOptions, what) -> bool:
    limit_arenas()
    stopping = threading.Event()
    for number in STOPS:
        signal.signal(number, lambda *_: stopping.set())
    interrupts.check()
    with quiet_native_stderr():
        import tensorflow as tf

        import serving.embedded.service  # noqa: F401
    tf.get_logger().setLevel("ERROR")  # it warns that the session loader is deprecated
    server = Server(options).start()
    _tell(server, what)
    stopping.wait()
    _log.info("stopping: requests under way have a grace period of %g s", options.grace_s)
    drained = server.stop()
    _log.info("stopped" if drained else "stopped; requests under way were abandoned")
    return drained


def _tell(server: Server, what) -> None:
    options = server.options
    tls = "TLS" if options.tls_certificate else "no TLS"
    _log.info("%s", NOT_TENSORFLOW_SERVING)
    _log.info("serving %s on %s:%d (%s)", what, server.host, server.port, tls)
    if server.http_port is not None:
        scheme = "https" if options.tls_certificate else "http"
        host = f"[{server.host}]" if ":" in server.host else server.host
        address = f"{scheme}://{host}:{server.http_port}"
        _log.info("HTTP on %s, metrics on %s%s", address, address, contract.METRICS_PATH)
    empty = server.versions.without_a_version()
    if empty:
        _log.warning(
            "nothing can be served of %s: a model's folder must hold a version, NUMBER/"
            "saved_model.pb; looking again every %g s",
            ", ".join(map(str, empty)),
            options.polling_s,
        )
    if server.host not in _LOOPBACK and not options.tls_certificate:
        _log.warning(
            "%s can be reached from other machines, and without TLS photos are sent unencrypted",
            server.host,
        )


if __name__ == "__main__":
    sys.exit(main())

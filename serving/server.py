"""An embedded PredictionService for one machine.

    dmenet serve --models models

A stand-in for TensorFlow Serving, in Python: the same calls, messages and folders and part of the
same configuration, for a laptop, a demo or one modest machine, without another installation. For
production, see serving/config.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data_gen.exit_codes import FAILED, OK, USAGE
from data_gen.installation import not_installed
from dmenet_tf import environment
from dmenet_tf.console import UsageError, quiet_native_stderr
from serving import contract
from serving.embedded.memory import limit_arenas
from serving.embedded.options import (
    NOT_TENSORFLOW_SERVING,
    ServerOptions,
    build_parser,
    check,
    split_address,
)

__all__ = ["Server", "ServerOptions", "build_parser", "main"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SPARE_THREADS = 16  # besides those that compute or wait: for refusals, status and health
_log = logging.getLogger("serving")


class Server:
    """Serves from `start` (or `with`) to `stop`, on `port` and `metrics_port`.

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
        self.metrics = Metrics(lambda: self.scheduler.waiting)
        self._health = Health()
        self.versions = Versions(_configs(options), partial(loading.load, options), self._changed)
        self.service = Service(self.versions, self.scheduler, self.metrics, options.batch_pixels)
        self._grpc = self._make_grpc_server()
        self.port = self._bind(wanted_port)
        self.metrics_port, self._metrics_server = None, None

    def start(self) -> "Server":
        """Returns at once; models are loaded in the background (`wait_until_serving`)."""
        from serving.embedded.metrics import MetricsServer

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
        self.scheduler.reject_waiting("the server is stopping")
        # Replies are still being sent for a moment after their handlers have ended.
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
        threads = options.jobs * options.max_batch + options.queue + _SPARE_THREADS
        server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="request"),
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
    model_config.models_in(options.models)
    return lambda: model_config.models_in(options.models)


def _credentials(options: ServerOptions):
    import grpc

    key, certificate = (Path(p).read_bytes() for p in (options.tls_key, options.tls_certificate))
    authority = None if options.tls_ca is None else Path(options.tls_ca).read_bytes()
    return grpc.ssl_server_credentials(
        [(key, certificate)], authority, require_client_auth=authority is not None
    )


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
    if values["metrics_port"] < 0:
        values["metrics_port"] = None
    options = ServerOptions(**values)
    try:
        check(options)
        split_address(options.address)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return options


def serve(options: ServerOptions) -> int:
    """Serves until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    limit_arenas()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with quiet_native_stderr():
        import tensorflow as tf

        import serving.embedded.service  # noqa: F401
    tf.get_logger().setLevel("ERROR")  # it warns that the session loader is deprecated
    server = Server(options).start()
    _tell(server)
    stopping.wait()
    _log.info("stopping: requests under way have a grace period of %g s", options.grace_s)
    drained = server.stop()
    _log.info("stopped" if drained else "stopped; requests under way were abandoned")
    if not drained:
        logging.shutdown()
        os._exit(OK)  # their threads would keep the process alive
    return OK


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
            "%s can be reached from other machines, and without TLS photos are sent unencrypted",
            server.host,
        )


if __name__ == "__main__":
    sys.exit(main())

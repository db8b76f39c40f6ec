"""Metrics for Prometheus, at the same path as TensorFlow Serving's."""

import http.server
import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving import contract

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The server's metrics, in a registry of their own: a process may have several servers.

    Labels are only names that the server knows: a caller cannot create new series.
    """

    def __init__(self, waiting=lambda: 0):
        self.registry = CollectorRegistry()
        labels = ["model", "signature"]
        self.requests = Counter(
            "dmenet_requests_total",
            "Predict requests by status",
            [*labels, "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "dmenet_request_seconds",
            "Time from a request's arrival to its reply",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "dmenet_requests_in_flight", "Predict requests under way", registry=self.registry
        )
        self.batch_size = Histogram(
            "dmenet_batch_size",
            "Requests computed together",
            labels,
            buckets=(1, 2, 4, 8, 16),
            registry=self.registry,
        )
        queue = Gauge("dmenet_queue_length", "Requests waiting", registry=self.registry)
        queue.set_function(waiting)
        self.loaded = Gauge(
            "dmenet_model_version_loaded",
            "1 while a version of a model is served",
            ["model", "version"],
            registry=self.registry,
        )
        self.load_failures = Counter(
            "dmenet_model_load_failures_total",
            "Versions that could not be loaded",
            ["model"],
            registry=self.registry,
        )


class MetricsServer:
    """Serves a registry over HTTP until `close`. Port 0 takes a free one: see `port`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry):
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10  # seconds for which a silent client may hold a thread

            def do_GET(self):
                if self.path.split("?")[0] != contract.METRICS_PATH:
                    self.send_error(404, f"the metrics are at {contract.METRICS_PATH}")
                    return
                page = generate_latest(registry)
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *args):
                pass  # a line for each scrape would only fill the log

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

"""Metrics for Prometheus, at the same path as TensorFlow Serving's."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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

"""The standard gRPC health service; its state follows the models."""

import threading

from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from serving.embedded.service import MODEL_SERVICE, PREDICTION_SERVICE


class Health:
    """Health of the whole server (""), of each model and of each gRPC service, by name."""

    def __init__(self):
        self.servicer = health.HealthServicer()
        self.serving = threading.Event()
        self.ready, self._stopped = False, False  # of the whole, now
        self._lock = threading.Lock()
        self.set({})

    def set(self, models: dict[str, bool]) -> None:
        ready = bool(models) and all(models.values())
        names = dict.fromkeys(["", PREDICTION_SERVICE, MODEL_SERVICE], ready)
        with self._lock:
            self.ready = ready and not self._stopped
            for name, fine in (names | models).items():
                state = HealthCheckResponse.SERVING if fine else HealthCheckResponse.NOT_SERVING
                self.servicer.set(name, state)
        if ready:
            self.serving.set()

    def stop(self) -> None:
        with self._lock:
            self.ready, self._stopped = False, True
        self.servicer.enter_graceful_shutdown()

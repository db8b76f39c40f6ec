"""What the embedded server answers over HTTP, at TensorFlow Serving's port for it.

| request | reply |
| --- | --- |
| GET /v1/models/NAME[/versions/N or /labels/L] | states of its versions |
| GET /v1/models/NAME[...]/metadata | its signatures |
| POST /v1/models/NAME[...]:predict | JSON in and out (`rest.py`) |
| POST /photo | a photo's file in, its map's file out (`photos.py`) |
| GET /health | 200 while all models can answer, else 503 |
| GET /monitoring/prometheus/metrics | the metrics |

Each request of a model goes through the gRPC service's own methods: limits, statuses, queue,
deadlines and metrics are the same.
"""

import logging
import re
import threading
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

import grpc
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving import contract
from serving.embedded import rest
from serving.embedded.errors import RequestError, invalid, not_found
from serving.embedded.health import Health
from serving.embedded.http_call import HttpCall
from serving.embedded.http_server import Reply, Request, error_reply
from serving.embedded.photos import Photos
from serving.embedded.service import Service

# A version has at most 18 digits: an int64 holds them.
_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>/metadata|:[a-z]+)?",
    re.ASCII,
)
_PATHS = "/v1/models/NAME, NAME/metadata, NAME:predict, /photo, /health"
_log = logging.getLogger(__name__)


class Routes:
    """Answers requests; `timeout_s` is the deadline of each."""

    def __init__(self, service: Service, photos: Photos, health: Health, timeout_s: float):
        self._service, self._photos, self._health = service, photos, health
        self._timeout_s = timeout_s
        # Text of megabytes becomes a multiple of its size in lists: one at a time.
        self._json = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """The reply to a request, whatever happens."""
        try:
            with HttpCall(request.connection, self._timeout_s) as call:
                return self._answer(request, call)
        except RequestError as error:
            return error_reply(contract.HTTP_STATUS.get(error.code.name, 500), str(error))
        except Exception:
            _log.exception("unexpected error in a request")
            return error_reply(500, "the server failed; see its log")

    def _answer(self, request: Request, call: HttpCall) -> Reply:
        path, _, query = request.path.partition("?")
        other: dict[str, tuple[str, Callable[[], Reply]]] = {
            contract.METRICS_PATH: ("GET", self._metrics),
            contract.HEALTH_PATH: ("GET", self._state),
            contract.PHOTO_PATH: ("POST", lambda: self._photo(request, query, call)),
        }
        if path in other:
            method, answer = other[path]
            if request.method != method:
                raise invalid(f"{path} must be asked by {method}; received {request.method}")
            return answer()
        if not path.startswith("/v1/"):
            raise not_found(f"a path must be one of {_PATHS}; received {path[:200]}")
        found = _MODEL.fullmatch(path)
        what = found and (request.method, found["what"] or "")
        if what == ("GET", ""):
            return self._status(found, call)
        if what == ("GET", "/metadata"):
            return self._metadata(found, call)
        if what == ("POST", ":predict"):
            return self._predict(found, request.body, call)
        if what in [("POST", ":classify"), ("POST", ":regress")]:
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, "this server has :predict alone")
        raise invalid(f"malformed request: {request.method} {path[:200]}")

    def _status(self, found: re.Match, call: HttpCall) -> Reply:
        message = get_model_status_pb2.GetModelStatusRequest()
        _fill_spec(message.model_spec, found)
        return Reply(200, rest.status(self._service.status(message.SerializeToString(), call)))

    def _metadata(self, found: re.Match, call: HttpCall) -> Reply:
        message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(message.model_spec, found)
        response = self._service.metadata(message.SerializeToString(), call)
        return Reply(200, rest.metadata(response))

    def _predict(self, found: re.Match, body: bytes, call: HttpCall) -> Reply:
        request = predict_pb2.PredictRequest()
        _fill_spec(request.model_spec, found)
        definitions = self._service.definitions(request.model_spec)
        with self._json:
            form = rest.fill_request(body, definitions, request)
            message = request.SerializeToString()
        request.Clear()
        response = self._service.predict(message, call)
        with self._json:
            return Reply(200, rest.prediction(response, form))

    def _photo(self, request: Request, query: str, call: HttpCall) -> Reply:
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        accept = request.headers.get("Accept", "")
        made = self._photos.map(request.body, parameters, accept, call)
        headers = {"X-Note": _header("; ".join(made.notes))} if made.notes else {}
        return Reply(200, made.data, made.content_type, headers)

    def _state(self) -> Reply:
        ready = self._health.ready
        body = b'{"status": "SERVING"}' if ready else b'{"status": "NOT_SERVING"}'
        return Reply(200 if ready else 503, body)

    def _metrics(self) -> Reply:
        return Reply(200, generate_latest(self._service.metrics.registry), CONTENT_TYPE_LATEST)


def _fill_spec(spec, found: re.Match) -> None:
    spec.name = unquote(found["name"])
    if found["version"]:
        spec.version.value = int(found["version"])
    if found["label"]:
        spec.version_label = unquote(found["label"])


def _header(text: str) -> str:
    """Fit for a header: one line of ASCII."""
    return " ".join(text.split()).encode("ascii", "replace").decode()

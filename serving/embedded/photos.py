"""`POST /photo`: a photo's file in, its map's file out, for curl and for whoever has no client.

    curl --data-binary @photo.jpg 'http://127.0.0.1:8501/photo?format=colour' -o map.png

The way of `dmenet predict --server`, inside the server: the file is read as any photo of a user,
reduced to the size that the model recommends, sent to the service in parts that it accepts, and the
map is written in one of the formats of `dmenet predict`. So a photo may be larger than a request.
Photos have places and a queue of their own, as many as requests have; their parts queue as well.

| parameter | meaning |
| --- | --- |
| `format` | one of `FORMATS`; without it the header Accept says which, else `colour` |
| `max_side` | pixels of the longer side; 0: full size; default: what the model recommends |
| `model`, `version`, `label` | which model; default: the newest version of `contract.MODEL_NAME` |
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from data_gen.io.errors import DataFileError
from data_gen.io.photos import decode_photo
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.predictor import ModelChanged, Predictor
from dmenet_tf.prediction.summaries import SUFFIXES
from serving import contract
from serving.client import RemoteBackend
from serving.embedded import tensors
from serving.embedded.errors import RequestError, invalid, unavailable
from serving.embedded.http_call import HttpCall
from serving.embedded.scheduling import Scheduler
from serving.embedded.service import Service

FORMATS = tuple(SUFFIXES)
_DEFAULT = "colour"
_TYPES = {".png": "image/png", ".tiff": "image/tiff", ".npy": "application/x-npy"}
# What a caller that wants a type gets.
_ACCEPTED = {
    "image/png": _DEFAULT,
    "image/tiff": "tiff",
    "application/x-npy": "npy",
    "application/octet-stream": "npy",
}


@dataclass(frozen=True)
class Map:
    """A map's file, its type, and what was noted while the photo was read."""

    data: bytes
    content_type: str
    notes: tuple[str, ...]


class Photos:
    """Maps photos through `service`; `scheduler` says how many at a time."""

    def __init__(self, service: Service, scheduler: Scheduler):
        self._service, self._scheduler = service, scheduler

    def map(self, body: bytes, parameters: dict[str, str], accept: str, call: HttpCall) -> Map:
        """The map of the photo in `body`.

        parameters: of the address; accept: the header Accept, or "". Raises RequestError:
        INVALID_ARGUMENT for wrong parameters or what is no photo, and those of the service.
        """
        wanted = _format(parameters.pop("format", None), accept)
        max_side = _number(parameters.pop("max_side", None), "max_side")
        backend = _ServiceBackend(self._service, _spec(parameters), call)
        notes: list[str] = []
        with self._service.admitted(), self._scheduler.place(call):
            try:
                image = decode_photo(body, "the photo", contract.MAX_PHOTO_PIXELS, notes.append)
                found = Predictor(backend).predict(image, max_side=max_side)
                data = _file(wanted, found, image)
            except ModelChanged as error:
                raise unavailable(str(error)) from error
            except (DataFileError, ValueError) as error:
                raise invalid(str(error)) from error
        return Map(data, _TYPES[Path(SUFFIXES[wanted]).suffix], tuple(notes))


def _format(wanted: str | None, accept: str) -> str:
    if wanted is not None:
        if wanted not in FORMATS:
            raise invalid(f"format must be one of {', '.join(FORMATS)}; received {wanted[:100]!r}")
        return wanted
    for kind in accept.split(","):
        found = _ACCEPTED.get(kind.partition(";")[0].strip().lower())
        if found:
            return found
    return _DEFAULT


def _spec(parameters: dict[str, str]):
    """The ModelSpec of what is left of the parameters."""
    known = {"model", "version", "label"}
    if set(parameters) - known:
        wrong = sorted(set(parameters) - known)[0]
        raise invalid(
            f"a photo's parameters are format, max_side, {', '.join(sorted(known))}; "
            f"received {wrong[:100]!r}"
        )
    if {"version", "label"} <= set(parameters):
        raise invalid("a model is chosen by its version or by a label; received both")
    spec = predict_pb2.PredictRequest().model_spec
    spec.name = parameters.get("model", contract.MODEL_NAME)
    version = _number(parameters.get("version"), "version")
    if version is not None:
        spec.version.value = version
    if "label" in parameters:
        spec.version_label = parameters["label"]
    return spec


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isdecimal() and text.isascii() and len(text) < 19):
        raise invalid(f"{name} must be a whole number, 0 or more; received {text[:100]!r}")
    return int(text)


def _file(form: str, found, image: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory(prefix="dmenet-photo-") as folder:
        path = Path(folder) / f"map{SUFFIXES[form]}"
        write_map(path, form, found.sigma_px, found.metadata, image)
        return path.read_bytes()


class _ServiceBackend(RemoteBackend):
    """The client's backend, of which the calls stay within this process."""

    def __init__(self, service: Service, spec, call: HttpCall):
        self.exact = True
        self.client = _Calls(service, spec, call)
        self._metadata = None


class _Calls:
    """What `RemoteBackend` uses of a `serving.connection.Client`; nothing is tried again."""

    def __init__(self, service: Service, spec, call: HttpCall):
        self._service, self._spec, self._call = service, spec, call

    def predict_images(self, images: np.ndarray, outputs) -> dict[str, np.ndarray]:
        return self._ask(contract.SIGNATURE_IMAGES, contract.IMAGES, images, outputs)

    def predict_encoded(self, files: list[bytes], outputs, _retry_s=None) -> dict[str, np.ndarray]:
        encoded = np.array(files, object)
        return self._ask(contract.SIGNATURE_ENCODED, contract.ENCODED_IMAGES, encoded, outputs)

    def broken_reply(self, why: str) -> RequestError:
        return RequestError(
            grpc.StatusCode.INTERNAL, f"the reply must be that of a defocus model: {why}"
        )

    def close(self) -> None:
        pass

    def _ask(self, signature: str, name: str, values: np.ndarray, outputs):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.CopyFrom(self._spec)
        request.model_spec.signature_name = signature
        tensors.to_proto(values, request.inputs[name])
        response = self._service.predict(request.SerializeToString(), self._call, True)
        return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

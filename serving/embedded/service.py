"""The remote calls: `tensorflow.serving.PredictionService` (Predict, GetModelMetadata) and
`ModelService` (GetModelStatus), as the official protos describe them.

Messages are received as bytes and parsed here: invalid bytes are answered INVALID_ARGUMENT, like
any other wrong request, where gRPC's own parsing would report a failure of the server.
"""

import contextlib
import logging
import threading
import time
from dataclasses import dataclass

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from serving import contract
from serving.embedded import damage, limits, tensors
from serving.embedded.errors import RequestError, invalid, unavailable
from serving.embedded.metrics import Metrics
from serving.embedded.scheduling import Scheduler
from serving.embedded.versions import Version, Versions
from serving.saved_model.session import Signature, UnknownSignature, short_message

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_UNKNOWN = "unknown"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_log = logging.getLogger(__name__)


@dataclass
class _Call:
    """A request under way; names are those that the server knows, for the metrics."""

    model: str = _UNKNOWN
    signature: str = _UNKNOWN


class Service:
    """Answers calls. `batch_pixels`: max pixels of a batch of `scheduler.max_batch` images."""

    def __init__(
        self, versions: Versions, scheduler: Scheduler, metrics: Metrics, batch_pixels: int = 0
    ):
        self.versions, self.scheduler, self.metrics = versions, scheduler, metrics
        self.batch_pixels = batch_pixels
        self._stopping = False
        self._under_way = 0
        self._idle = threading.Condition()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        def of(service, **methods):
            return grpc.method_handlers_generic_handler(
                service,
                {
                    name: grpc.unary_unary_rpc_method_handler(
                        method, response_serializer=lambda message: message.SerializeToString()
                    )
                    for name, method in methods.items()
                },
            )

        return [
            of(PREDICTION_SERVICE, Predict=self.predict, GetModelMetadata=self.metadata),
            of(
                MODEL_SERVICE,
                GetModelStatus=self.status,
                HandleReloadConfigRequest=self.reload_config,
            ),
        ]

    def refuse_new(self) -> None:
        """From now on, new requests are answered UNAVAILABLE."""
        self._stopping = True

    def wait_until_idle(self, seconds: float) -> bool:
        """Waits for the requests under way; whether all ended within `seconds`."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._under_way, seconds)

    @contextlib.contextmanager
    def admitted(self):
        """Within it, a request is under way that asks in several calls, each with `admitted`: they
        are answered also when the server is told to stop meanwhile."""
        if self._stopping:
            raise unavailable("the server is stopping")
        with self._counted():
            yield

    def definitions(self, spec) -> dict:
        """Signature -> SignatureDef of the model that a ModelSpec names.

        Raises RequestError: NOT_FOUND, or UNAVAILABLE while it is being loaded.
        """
        with self._version(spec) as version:
            return dict(version.model.definitions)

    # --- the calls ------------------------------------------------------------------------

    def predict(self, data: bytes, context, admitted: bool = False) -> predict_pb2.PredictResponse:
        started, call, code = time.monotonic(), _Call(), grpc.StatusCode.OK
        with self._counted():
            try:
                if self._stopping and not admitted:
                    raise unavailable("the server is stopping")
                return self._predict(data, context, call)
            except RequestError as error:
                code, message = error.code, str(error)
            except tf.errors.OpError as error:
                code = _CODES.get(error.error_code, grpc.StatusCode.INTERNAL)
                message = short_message(error)
            except Exception:
                _log.exception("unexpected error in a request")
                code, message = grpc.StatusCode.INTERNAL, "the server failed; see its log"
            finally:
                self.metrics.requests.labels(call.model, call.signature, code.name).inc()
                elapsed = time.monotonic() - started
                self.metrics.seconds.labels(call.model, call.signature).observe(elapsed)
        return context.abort(code, message)  # raises

    def metadata(self, data: bytes, context):
        with _aborting(context):
            request = _parse(data, get_model_metadata_pb2.GetModelMetadataRequest)
            for field in request.metadata_field or [""]:
                if field != "signature_def":
                    raise invalid(f"metadata_field must be signature_def; received {field[:100]!r}")
            with self._version(request.model_spec) as version:
                response = get_model_metadata_pb2.GetModelMetadataResponse()
                _fill_spec(response.model_spec, version)
                signatures = get_model_metadata_pb2.SignatureDefMap()
                for name, definition in version.model.definitions.items():
                    signatures.signature_def[name].CopyFrom(definition)
                response.metadata["signature_def"].Pack(signatures)
                return response

    def status(self, data: bytes, context):
        with _aborting(context):
            request = _parse(data, get_model_status_pb2.GetModelStatusRequest)
            spec = request.model_spec
            name, number = _name(spec), _number(spec)
            if spec.WhichOneof("version_choice") == "version_label":
                number = self.versions.resolve(name, spec.version_label)
            found = [v for v in self.versions.status(name) if number in (None, v.number)]
            if number is not None and not found:
                raise RequestError(grpc.StatusCode.NOT_FOUND, f"{name} has no version {number}")
            response = get_model_status_pb2.GetModelStatusResponse()
            for version in found:
                status = response.model_version_status.add(
                    version=version.number, state=version.state
                )
                status.status.error_message = version.error
                if version.error:
                    status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
            return response

    def reload_config(self, data: bytes, context):
        with _aborting(context):
            _parse(data, model_management_pb2.ReloadConfigRequest)
            raise RequestError(
                grpc.StatusCode.UNIMPLEMENTED,
                "this server reads its configuration at its start",
            )

    # --- Predict, step by step -------------------------------------------------------------

    def _predict(self, data: bytes, context, call: _Call) -> predict_pb2.PredictResponse:
        request = _parse(data, predict_pb2.PredictRequest)
        with self._version(request.model_spec) as version:
            call.model = version.config.name
            signature = _signature(version, request.model_spec.signature_name)
            call.signature = signature.name
            names = _output_names(request, signature)
            arrays = tensors.read_inputs(request.inputs, signature.inputs, _check_shapes)
            _check_files(arrays)
            request.Clear()
            outputs = self._compute(version, signature, arrays, context)
            response = predict_pb2.PredictResponse()
            _fill_spec(response.model_spec, version, signature.name)
        for name in names:
            tensors.to_proto(outputs[name], response.outputs[name])
        return response

    def _compute(self, version: Version, signature: Signature, arrays, context) -> dict:
        key = self._batch_key(version, signature, arrays)
        with self.scheduler.place(context, key) as batch:
            self.metrics.batch_size.labels(version.config.name, signature.name).observe(batch.size)
            try:
                return signature.run(arrays, batch)
            except tf.errors.OpError as error:
                _tell_damage(arrays, error)
                if batch.size == 1:
                    raise
            # One bad request fails the whole batch: run each alone, so that only that one fails.
            with batch.retry:
                return signature.run(arrays)

    def _batch_key(self, version: Version, signature: Signature, arrays: dict):
        """Requests of equal key can be computed together; None for one to be computed alone.

        Only single small images have one: two larger images at a time keep all cores busy anyway.
        """
        if not signature.batches:
            return None
        (array,) = arrays.values()
        pixels = array[..., 0].size if array.ndim == 4 else array.size
        if len(array) > 1 or pixels * self.scheduler.max_batch > self.batch_pixels:
            return None
        return id(version), signature.name, array.shape

    @contextlib.contextmanager
    def _version(self, spec):
        label = spec.version_label if spec.WhichOneof("version_choice") == "version_label" else ""
        if spec.WhichOneof("version_choice") == "version_label" and not label:
            raise invalid("a version label must not be empty")
        with self.versions.use(_name(spec), _number(spec), label) as version:
            yield version

    @contextlib.contextmanager
    def _counted(self):
        with self._idle:
            self._under_way += 1
            self.metrics.in_flight.set(self._under_way)
        try:
            yield
        finally:
            with self._idle:
                self._under_way -= 1
                self.metrics.in_flight.set(self._under_way)
                self._idle.notify_all()


@contextlib.contextmanager
def _aborting(context):
    try:
        yield
    except RequestError as error:
        context.abort(error.code, str(error))


def _parse(data: bytes, kind):
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid(f"the message must be a {kind.DESCRIPTOR.full_name} ({error})") from None


def _name(spec) -> str:
    if not spec.name:
        raise invalid("model_spec must name a model; received none")
    return spec.name


def _number(spec) -> int | None:
    return spec.version.value if spec.WhichOneof("version_choice") == "version" else None


def _signature(version: Version, name: str) -> Signature:
    try:
        return version.model.signature(name)
    except UnknownSignature as error:
        raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from None


def _output_names(request, signature: Signature) -> list[str]:
    unknown = [name for name in request.output_filter if name not in signature.outputs]
    if unknown:
        raise invalid(
            f"output_filter must be among {', '.join(sorted(signature.outputs))}; "
            f"received {unknown[0][:100]!r}"
        )
    return list(dict.fromkeys(request.output_filter)) or list(signature.outputs)


def _check_shapes(shapes: dict) -> None:
    if len(shapes.get(contract.IMAGES, ())) == 4:
        limits.check_images(shapes[contract.IMAGES])


def _check_files(arrays: dict) -> None:
    if contract.ENCODED_IMAGES in arrays:
        limits.check_encoded(arrays[contract.ENCODED_IMAGES].ravel())


def _tell_damage(arrays: dict, error: tf.errors.OpError) -> None:
    """Raises RequestError where the model failed by a file that cannot be decoded."""
    if contract.ENCODED_IMAGES in arrays and isinstance(error, tf.errors.InvalidArgumentError):
        found = damage.error_of(arrays[contract.ENCODED_IMAGES].ravel())
        if found is not None:
            raise found from error


def _fill_spec(spec, version: Version, signature: str = "") -> None:
    spec.name, spec.signature_name = version.config.name, signature
    spec.version.value = version.number

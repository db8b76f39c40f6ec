"""A PredictionService for tests of the client: answers with a function, or fails as it is told.

Made of generic gRPC handlers and the client's own messages; no TensorFlow in it.
"""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np

from data_gen.io.images import decode_stored, encode_png
from serving import contract, wire

MODEL = {
    "model": "fake", "encoding": "paper", "sigma_max_px": 7.0, "units": "px", "version": "1",
    "licence": "",
}  # fmt: skip


def brightness(image: np.ndarray) -> np.ndarray:
    """The fake's map: sigma is 7 px times the mean of the channels. [H, W, 3] -> [H, W]."""
    return 7 * image.astype(np.float64).mean(axis=-1)


class FakeService(grpc.GenericRpcHandler):
    """`before(n, request)` runs at the nth prediction and may raise a grpc.StatusCode's tuple."""

    def __init__(self, before=None):
        self.requests, self.before, self.model = [], before, dict(MODEL)
        self._lock = threading.Lock()

    def service(self, details):
        methods = {
            wire.PREDICT: (self._predict, wire.PredictRequest),
            wire.GET_MODEL_STATUS: (self._status, wire.GetModelStatusRequest),
            wire.HEALTH_CHECK: (self._health, wire.HealthCheckRequest),
        }
        if details.method not in methods:
            return None
        method, request = methods[details.method]
        return grpc.unary_unary_rpc_method_handler(
            method, request.FromString, lambda reply: reply.SerializeToString()
        )

    def _predict(self, request, context):
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
        failure = self.before and self.before(number, request)
        if failure:
            context.abort(*failure)
        reply = wire.PredictResponse()
        for name, value in self._outputs(request, context).items():
            if not request.output_filter or name in request.output_filter:
                reply.outputs[name].CopyFrom(wire.to_tensor(value))
        return reply

    def _outputs(self, request, context):
        model = [json.dumps(self.model).encode()]
        if request.model_spec.signature_name == contract.SIGNATURE_IMAGES:
            images = wire.from_tensor(request.inputs[contract.IMAGES])
            sigma_px = np.stack([brightness(image) for image in images])[..., None]
            sizes = [image.shape[:2] for image in images]
            defocus = (sigma_px / 7).astype(np.float32)
            outputs = {"sigma_px": sigma_px.astype(np.float32), "defocus": defocus}
        else:
            images = [decode_stored(data, "image") for data in wire.from_tensor(
                request.inputs[contract.ENCODED_IMAGES])]  # fmt: skip
            maps = [brightness(i / np.iinfo(i.dtype).max) for i in images]
            sizes = [image.shape[:2] for image in images]
            outputs = {"sigma_png": [encode_png(np.uint16(np.rint(m / 7 * 65535))) for m in maps]}
        for height, width in sizes:
            if height * width > contract.MAX_PIXELS or max(height, width) > contract.MAX_SIDE_PX:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"too large: {height} x {width}")
        return outputs | {"model": model * len(images)}

    def _status(self, request, context):
        if request.model_spec.name != contract.MODEL_NAME:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_spec.name}")
        reply = wire.GetModelStatusResponse()
        reply.model_version_status.add(version=3, state=30)
        return reply

    def _health(self, request, context):
        return wire.HealthCheckResponse(status=1)


@contextlib.contextmanager
def serving(service, port=0, credentials=None, bytes_at_most=contract.MAX_MESSAGE_BYTES):
    """The service on loopback; gives HOST:PORT."""
    limits = [(f"grpc.max_{way}_message_length", bytes_at_most) for way in ("send", "receive")]
    server = grpc.server(ThreadPoolExecutor(8), options=[*limits, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([service])
    address = f"127.0.0.1:{port}"
    if credentials:
        bound = server.add_secure_port(address, credentials)
    else:
        bound = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        server.stop(None).wait()

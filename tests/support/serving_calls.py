"""What the tests of the embedded server have in common: a stub, requests, statuses."""

import io

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import contract


class Caller:
    """Calls of a server at 127.0.0.1:`port`."""

    def __init__(self, port: int, credentials=None, host="127.0.0.1"):
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        address = f"{host}:{port}"
        self.channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.raw = self.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.channel.close()

    def predict(self, request, timeout=120.0) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(request, timeout=timeout)

    def code(self, request, timeout=120.0) -> str:
        """The status' name: "OK" or why not."""
        return status_of(lambda: self.predict(request, timeout))

    def states(self, name=contract.MODEL_NAME) -> dict[int, str]:
        """Version -> state's name."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        State = get_model_status_pb2.ModelVersionStatus.State
        answer = self.models.GetModelStatus(request, timeout=60)
        return {s.version: State.Name(s.state) for s in answer.model_version_status}

    def health(self, service="") -> str:
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def status_of(call) -> str:
    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def images_request(images=None, model=contract.MODEL_NAME) -> predict_pb2.PredictRequest:
    """For `serving_default`; by default one image, grey of 0.5, 8 x 12."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    images = np.full([1, 8, 12, 3], 0.5, np.float32) if images is None else images
    request.inputs[contract.IMAGES].CopyFrom(tf.make_tensor_proto(images))
    return request


def encoded_request(*files: bytes) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = contract.MODEL_NAME
    request.model_spec.signature_name = contract.SIGNATURE_ENCODED
    files = tf.make_tensor_proto(list(files), tf.string, [len(files)])
    request.inputs[contract.ENCODED_IMAGES].CopyFrom(files)
    return request


def image_file(height=8, width=12, form="PNG", seed=0) -> bytes:
    """A PNG or JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def model_of(response) -> str:
    """What a tiny model calls itself."""
    import json

    return json.loads(tf.make_ndarray(response.outputs[contract.MODEL])[0])["model"]

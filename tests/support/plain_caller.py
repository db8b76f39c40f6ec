"""Calls of a PredictionService with the official messages, by a client with gRPC's defaults."""

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import contract

TIMEOUT_S = 60


class PlainCaller:
    """The calls of a plain client: without options, gRPC's own limit holds for what it receives."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, inputs, signature="", outputs=(), timeout=TIMEOUT_S, **spec):
        """`inputs`: name -> array, or whatever `tf.make_tensor_proto` takes."""
        request = predict_pb2.PredictRequest(output_filter=outputs)
        self.fill(request.model_spec, signature_name=signature, **spec)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        reply = self.prediction.Predict(request, timeout=timeout)
        return {n: tf.make_ndarray(t) for n, t in reply.outputs.items()}, reply.model_spec

    def maps(self, images, **options):
        return self.predict({contract.IMAGES: np.asarray(images, np.float32)}, **options)[0]

    def encoded(self, *files, **options):
        inputs = {contract.ENCODED_IMAGES: np.array(files, object)}
        return self.predict(inputs, contract.SIGNATURE_ENCODED, **options)[0]

    def signatures(self, **spec):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self.fill(request.model_spec, **spec)
        reply = self.prediction.GetModelMetadata(request, timeout=TIMEOUT_S)
        found = get_model_metadata_pb2.SignatureDefMap()
        assert reply.metadata["signature_def"].Unpack(found)
        return found.signature_def

    def status(self, **spec):
        request = get_model_status_pb2.GetModelStatusRequest()
        self.fill(request.model_spec, **spec)
        reply = self.models.GetModelStatus(request, timeout=TIMEOUT_S)
        return {one.version: one.state for one in reply.model_version_status}

    @staticmethod
    def fill(spec, name=contract.MODEL_NAME, version=None, label=None, signature_name=""):
        spec.name, spec.signature_name = name, signature_name
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label

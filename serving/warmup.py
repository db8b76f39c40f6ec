"""Warm-up requests, in the file that TensorFlow Serving looks for in a version's folder.

A TFRecord of `tensorflow.serving.PredictionLog`. The server runs them before it counts a version as
available, so that no caller waits for a graph's first run.
"""

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving import contract


def write_warmup(path, sides_px: tuple[int, int]) -> None:
    """A request for each signature, of a picture of (height, width)."""
    height, width = sides_px
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    files = [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".jpg", ".png")]
    requests = [
        (contract.SIGNATURE_IMAGES, contract.IMAGES, np.float32(pixels[None] / 255)),
        (contract.SIGNATURE_ENCODED, contract.ENCODED_IMAGES, np.array(files, object)),
    ]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, name, value in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = contract.MODEL_NAME
            request.model_spec.signature_name = signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())

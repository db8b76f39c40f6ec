"""A model's warm-up requests: replayed before it is served, so that its first caller does not wait.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `tensorflow.serving.PredictionLog`.
The exporter writes it; the embedded server (`embedded/loading.py`) and TensorFlow Serving replay it
before they count a version as available.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving import contract

MAX_RECORDS = 1000  # TensorFlow Serving's limit


def write_warmup(path, sides_px: tuple[int, int]) -> None:
    """Writes a request for each signature, with a picture of (height, width)."""
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


def read_warmup(folder: Path) -> Iterator[predict_pb2.PredictRequest]:
    """The warm-up requests of the model in `folder`; none if it has no such file.

    Raises ValueError for more than `MAX_RECORDS`, and for other calls than Predict.
    """
    file = folder / contract.WARMUP_FILE
    if not file.is_file():
        return
    for count, record in enumerate(tf.compat.v1.io.tf_record_iterator(str(file))):
        if count == MAX_RECORDS:
            raise ValueError(f"{file}: must have at most {MAX_RECORDS} requests")
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") != "predict_log":
            raise ValueError(
                f"{file}: must hold Predict requests; received {log.WhichOneof('log_type')}"
            )
        yield log.predict_log.request

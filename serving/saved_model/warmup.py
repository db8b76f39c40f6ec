"""Warm-up: what makes the first request as quick as the rest.

A model may bring requests of its own, `assets.extra/tf_serving_warmup_requests`: a TFRecord file of
`tensorflow.serving.PredictionLog`. The exporter writes it; this server and TensorFlow Serving
replay it before they count a version as available.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving import contract
from serving.embedded import tensors
from serving.embedded.scheduling import Batch
from serving.saved_model.session import LoadedModel, smallest_input

MAX_RECORDS = 1000  # as TensorFlow Serving; a file with more is refused


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


def warm_up(model: LoadedModel, folder: Path) -> int:
    """Runs each of the model's own requests, and each batch; the number of the former.

    Raises ValueError, RequestError or a TensorFlow error where a request does not pass.
    """
    count = 0
    file = folder / contract.WARMUP_FILE
    if file.is_file():
        for record in tf.compat.v1.io.tf_record_iterator(str(file)):
            if count == MAX_RECORDS:
                raise ValueError(f"{file}: must have at most {MAX_RECORDS} requests")
            _replay(model, prediction_log_pb2.PredictionLog.FromString(record), file)
            count += 1
    _warm_batches(model)
    return count


def _replay(model: LoadedModel, log, file) -> None:
    if log.WhichOneof("log_type") != "predict_log":
        raise ValueError(
            f"{file}: must hold Predict requests; received {log.WhichOneof('log_type')}"
        )
    request = log.predict_log.request
    signature = model.signature(request.model_spec.signature_name)
    signature.run(tensors.read_inputs(request.inputs, signature.inputs))


def _warm_batches(model: LoadedModel) -> None:
    """A batch function makes its own copy of the graph at its first batch."""
    for signature in model.signatures.values():
        for size, place in signature.batches:
            batch = Batch(place, size, size)
            with ThreadPoolExecutor(size) as members:
                run = members.map(
                    lambda _, batch=batch, signature=signature: signature.run(
                        smallest_input(signature), batch
                    ),
                    range(size),
                )
                list(run)

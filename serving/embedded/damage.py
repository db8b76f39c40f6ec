"""Which of a request's files made the model fail, and why: looked for only after it has.

TensorFlow's decoders say neither which file of a batch they mean nor, of a JPEG, what is wrong.
"""

import io
from collections.abc import Sequence

import tensorflow as tf
from PIL import Image

from serving import contract
from serving.embedded.errors import RequestError, invalid
from serving.saved_model.session import short_message

_JPEG = b"\xff\xd8"


def error_of(files: Sequence[bytes]) -> RequestError | None:
    """INVALID_ARGUMENT for the first JPEG or PNG that TensorFlow does not decode; None for none."""
    for index, file in enumerate(files):
        kind = "JPEG" if file.startswith(_JPEG) else "PNG"
        decode = tf.io.decode_jpeg if kind == "JPEG" else tf.io.decode_png
        try:
            decode(file, channels=3)
        except tf.errors.OpError as error:
            return invalid(
                f"`{contract.ENCODED_IMAGES}` [{index}]: a {kind} must be whole and valid; "
                f"received {len(file)} bytes of one that is not ({_cause(file, kind, error)})"
            )
    return None


def _cause(file: bytes, kind: str, error: tf.errors.OpError) -> str:
    """In Pillow's words, which name a truncated file as such, or else in TensorFlow's."""
    try:
        Image.open(io.BytesIO(file), formats=[kind]).load()
    except Exception as reason:  # Pillow's decoders raise nearly every exception type
        return str(reason)
    return short_message(error)

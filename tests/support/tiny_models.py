"""Small SavedModels with the contract's tensors, for tests of what serves them.

`sigma_px` is SIGMA_MAX_PX times the mean of the three channels times `gain`: a reply tells which
model it came from.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from serving import contract


class TinyModel(tf.Module):
    """Both signatures of the contract. `slow`: rounds of work without a use, to take time."""

    def __init__(self, gain: float = 1.0, slow: int = 0, ballast_mb: int = 0):
        super().__init__()
        self.gain, self.slow = gain, slow
        self.weight = tf.Variable(np.float32(gain))
        # Of no effect but on memory.
        ballast = np.random.default_rng(0).random(ballast_mb * 2**18, np.float32)
        self.ballast = tf.Variable(ballast) if ballast_mb else None
        fields = dict.fromkeys(contract.MODEL_FIELDS, "") | {
            "model": f"tiny {gain:g}",
            "encoding": "paper",
            "sigma_max_px": contract.SIGMA_MAX_PX,
        }
        self.about = json.dumps(fields)

    def defocus(self, images):
        pixels = tf.reduce_prod(tf.cast(tf.shape(images)[:3], tf.int64))
        fine = [
            tf.debugging.assert_less_equal(pixels, tf.constant(contract.MAX_PIXELS, tf.int64)),
            # NaN is not within bounds either.
            tf.debugging.Assert(
                tf.reduce_all((images >= 0) & (images <= 1)), ["images must lie in [0, 1]"]
            ),
        ]
        with tf.control_dependencies(fine):
            mean = tf.reduce_mean(images, -1, keepdims=True) * self.weight
        if self.ballast is not None:
            mean += 0 * self.ballast[0]
        if self.slow:
            work = tf.ones([200, 200])
            work = tf.while_loop(
                lambda i, x: i < self.slow, lambda i, x: (i + 1, tf.sin(x @ x)), [0, work]
            )[1]
            mean += 0 * tf.reduce_mean(tf.clip_by_value(work, 0, 1))
        return mean

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, contract.IMAGES)]
    )
    def images(self, images):
        defocus = self.defocus(images)
        return {
            contract.DEFOCUS: defocus,
            contract.SIGMA_PX: defocus * contract.SIGMA_MAX_PX,
            contract.MODEL: tf.fill([tf.shape(images)[0]], self.about),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, contract.ENCODED_IMAGES)])
    def encoded(self, encoded_images):
        def one(file):
            image = tf.io.decode_image(file, channels=3, dtype=tf.uint16, expand_animations=False)
            image = tf.cast(tf.ensure_shape(image, [None, None, 3]), tf.float32) / 65535
            sigma = self.defocus(image[None])[0] * contract.SIGMA_MAX_PX
            steps = sigma / contract.SIGMA_MAX_PX * contract.PNG_MAX
            png = tf.io.encode_png(tf.cast(tf.round(steps), tf.uint16))
            return png, tf.shape(image)[:2], tf.reduce_mean(sigma)

        png, size, mean = tf.map_fn(
            one, encoded_images, fn_output_signature=(tf.string, tf.int32, tf.float32)
        )
        return {
            contract.SIGMA_PNG: png,
            contract.SIZE_PX: size,
            contract.SHARE_SHARP: mean,
            contract.MEDIAN_SIGMA_PX: mean,
            contract.FOCUS_SCORE: mean,
            contract.MODEL: tf.fill([tf.shape(encoded_images)[0]], self.about),
        }


def write_model(folder, version: int, **options) -> Path:
    """`folder/version`, complete when it appears."""
    model = TinyModel(**options)
    temporary = Path(folder) / f".{version}.tmp"
    signatures = {
        contract.SIGNATURE_IMAGES: model.images,
        contract.SIGNATURE_ENCODED: model.encoded,
    }
    tf.saved_model.save(model, str(temporary), signatures)
    return temporary.rename(Path(folder) / str(version))

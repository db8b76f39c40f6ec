"""B on pictures of any size: padded to what the decoder needs, and cropped back."""

import numpy as np
import tensorflow as tf

from dmenet_tf.config import DECODER_STRIDE


def predict_defocus(model, images) -> np.ndarray:
    """`defocus` [N, H, W, 1] float32 of RGB images [N, H, W, 3] in [0, 1], any H and W.

    The right and lower edges are mirrored up to a multiple of 16; nothing is resized.
    """
    images = np.asarray(images, np.float32)
    height, width = images.shape[1:3]
    pad = [(0, 0), (0, -height % DECODER_STRIDE), (0, -width % DECODER_STRIDE), (0, 0)]
    padded = np.pad(images, pad, mode="symmetric")
    return _forward(model, tf.constant(padded)).numpy()[:, :height, :width]


@tf.function(reduce_retracing=True)
def _forward(model, images):
    return model(images, training=False)["defocus"]

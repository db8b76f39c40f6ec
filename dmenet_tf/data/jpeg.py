"""What JPEG does to images, in operations that every device has: TensorFlow's are a processor's.

Baseline JPEG (ITU-T T.81) as cameras and libjpeg write it: YCbCr (JFIF), chroma at half the size,
blocks of 8 x 8, the tables of annex K scaled by quality. Only what is lost is computed: without
entropy coding, which loses nothing.
"""

import numpy as np
import tensorflow as tf

BLOCK = 8
# ITU-T T.81, tables K.1 and K.2.
_LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], np.float32)  # fmt: skip
_CHROMINANCE = np.full((BLOCK, BLOCK), 99, np.float32)
_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# JFIF: R'G'B' -> Y'CbCr.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_FROM_YCC = np.linalg.inv(_TO_YCC.astype(np.float64)).astype(np.float32)


def _cosines() -> np.ndarray:
    """The orthonormal discrete cosine transform of a block's axis, a row for each frequency."""
    place = (2 * np.arange(BLOCK) + 1) * np.pi / (2 * BLOCK)
    basis = np.cos(np.arange(BLOCK)[:, None] * place) * np.sqrt(2 / BLOCK)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


_COSINES = _cosines()


def as_jpegs(images: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Images [N, H, W, 3] float32 in [0, 1] as they come back from JPEG files.

    H and W are known multiples of 16; quality: [N] int32, 1 .. 100, libjpeg's. Equal to
    TensorFlow's within a few levels: its transforms are of integers.
    """
    height, width = images.shape[1:3]
    if height % (2 * BLOCK) or width % (2 * BLOCK):
        raise ValueError(f"sides must be multiples of {2 * BLOCK}; received {height} x {width}")
    levels = tf.floor(images * 255.0 + 0.5)
    ycc = tf.einsum("nhwc,dc->nhwd", levels, _TO_YCC)
    halved = tf.nn.avg_pool2d(ycc[..., 1:], 2, 2, "VALID")
    scale = tf.cast(quality, tf.float32)
    scale = tf.where(scale < 50, tf.floor(5000.0 / scale), 200.0 - 2.0 * scale)
    luma = _quantised(ycc[..., :1] - 128.0, scale, _LUMINANCE) + 128.0
    chroma = _quantised(halved, scale, _CHROMINANCE)
    chroma = tf.image.resize(chroma, (height, width), method="bilinear")
    decoded = tf.einsum("nhwc,dc->nhwd", tf.concat([luma, chroma], -1), _FROM_YCC)
    return tf.clip_by_value(tf.round(decoded), 0.0, 255.0) / 255.0


def _quantised(planes, scale, table):
    """Planes [N, H, W, C] about 0, through the quantised transform of their blocks."""
    height, width, channels = planes.shape[1:]
    steps = tf.floor((table.reshape(-1) * scale[:, None] + 50.0) / 100.0)
    steps = tf.clip_by_value(steps, 1.0, 255.0)[:, None, :, None]
    rows, columns = height // BLOCK, width // BLOCK
    blocks = tf.reshape(planes, [-1, rows, BLOCK, columns, BLOCK, channels])
    waves = tf.einsum("nyaxbc,ka,lb->nyxklc", blocks, _COSINES, _COSINES)
    waves = tf.reshape(waves, [-1, rows * columns, BLOCK**2, channels])
    waves = tf.round(waves / steps) * steps
    waves = tf.reshape(waves, [-1, rows, columns, BLOCK, BLOCK, channels])
    blocks = tf.einsum("nyxklc,ka,lb->nyaxbc", waves, _COSINES, _COSINES)
    return tf.reshape(tf.round(blocks), [-1, height, width, channels])

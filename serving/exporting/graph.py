"""The served model: `contract.py`'s two signatures around B for inference, as one TensorFlow graph.

    bytes -> RGB in [0, 1] -> padded to 16 -> B -> cropped -> defocus -> sigma_px -> PNG, figures

All of it is in the graph, so that every server gives the same answers and refuses the same
requests. It has only standard operations, all of them in TensorFlow 2.15, and no variables: weights
are constants. Both signatures call one function, so that the file holds the weights once.
"""

import tensorflow as tf

from data_gen.optics import ENCODINGS
from dmenet_tf.architecture import SIZE_MULTIPLE
from dmenet_tf.networks.folding import fold
from dmenet_tf.weights.load import TrainedModel
from serving import contract

_JPEG_MAGIC, _PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SHORTEST_FILE = 33  # bytes of a PNG's magic and header; a JPEG is longer
_PNG_COMPRESSION = 3  # zlib level: half the time of the default, a few per cent larger
_FOCUSED_SHARE = 0.1  # of `focus_score`


class ServedModel(tf.Module):
    """`endpoints`: the signatures of its SavedModel. A copy: training does not change it."""

    def __init__(self, trained: TrainedModel, about: str, precision: str = "float32"):
        """Inputs and outputs are float32, whatever B computes in.

        about: the JSON that each reply carries (`contract.MODEL_FIELDS`).
        precision: what B computes in, one of `architecture.INFERENCE_PRECISIONS`.
        """
        super().__init__(name="served_model")
        encoding = ENCODINGS[trained.encoding]
        forward = tf.function(
            fold(trained.model, precision).__call__,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        )

        def maps(images):
            """RGB [N, H, W, 3] of any size -> defocus and sigma_px, [N, H, W, 1]."""
            height, width = tf.unstack(tf.shape(images)[1:3])
            defocus = forward(_padded(images))[:, :height, :width]
            sigma_px = (defocus * encoding.label_max - encoding.offset) / encoding.gain
            return defocus, tf.clip_by_value(sigma_px, 0.0, contract.SIGMA_MAX_PX)

        def serve_images(images):
            with tf.control_dependencies(_checks_of_pixels(images)):
                images = tf.identity(images)
            defocus, sigma_px = maps(images)
            return {
                contract.DEFOCUS: defocus,
                contract.SIGMA_PX: sigma_px,
                contract.MODEL: tf.fill(tf.shape(images)[:1], about),
            }

        def serve_one(data):
            image = _decoded(data)
            _, sigma_px = maps(image[None])
            return _files_and_figures(sigma_px[0], tf.shape(image)[:2])

        def serve_encoded(encoded_images):
            outputs = tf.map_fn(
                serve_one,
                encoded_images,
                parallel_iterations=1,  # the memory of one map, computed on all cores
                fn_output_signature=_SPECS_OF_ONE,
            )
            return {**outputs, contract.MODEL: tf.fill(tf.shape(encoded_images), about)}

        self.endpoints = {
            contract.SIGNATURE_IMAGES: tf.function(
                serve_images,
                input_signature=[
                    tf.TensorSpec([None, None, None, 3], tf.float32, contract.IMAGES),
                ],
            ).get_concrete_function(),
            contract.SIGNATURE_ENCODED: tf.function(
                serve_encoded,
                input_signature=[tf.TensorSpec([None], tf.string, contract.ENCODED_IMAGES)],
            ).get_concrete_function(),
        }


_SPECS_OF_ONE = {
    contract.SIGMA_PNG: tf.TensorSpec([], tf.string),
    contract.SIZE_PX: tf.TensorSpec([2], tf.int32),
    contract.SHARE_SHARP: tf.TensorSpec([], tf.float32),
    contract.MEDIAN_SIGMA_PX: tf.TensorSpec([], tf.float32),
    contract.FOCUS_SCORE: tf.TensorSpec([], tf.float32),
}


# --- checks ---------------------------------------------------------------------------


def _rule(condition, message, received):
    return tf.debugging.Assert(condition, [f"{message}; received", received], summarize=8)


def _checks_of_pixels(images):
    return [
        _rule(tf.shape(images)[0] > 0, "there must be an image", tf.shape(images)),
        *_checks_of_size(tf.shape(images)[1:3]),
        # NaN fails both comparisons.
        _rule(
            tf.reduce_all(tf.logical_and(images >= 0.0, images <= 1.0)),
            "images must be RGB in [0, 1]",
            [tf.reduce_min(images), tf.reduce_max(images)],
        ),
    ]


def _checks_of_size(size):
    """`size`: [2], height and width, of any integer type."""
    size = tf.cast(size, tf.int64)
    largest, pixels = contract.MAX_SIDE_PX, contract.MAX_PIXELS
    sides = tf.reduce_all(tf.logical_and(size > 0, size <= largest))
    return [
        _rule(sides, f"the sides of an image must be 1 to {largest} px", size),
        _rule(size[0] * size[1] <= pixels, f"an image must have at most {pixels} pixels", size),
    ]


# --- bytes -> pixels -----------------------------------------------------------------------------


def _decoded(data):
    """JPEG or PNG bytes -> RGB [H, W, 3] float32 in [0, 1], as `dmenet_tf.prediction.local` has it.

    The size that the header declares is checked before anything is decoded: a file of a few
    kilobytes can declare gigabytes.
    """
    length = tf.strings.length(data)
    whole = _rule(length >= _SHORTEST_FILE, "an image must be a JPEG or PNG file", length)
    with tf.control_dependencies([whole]):
        is_jpeg = tf.equal(tf.strings.substr(data, 0, 3), _JPEG_MAGIC)
        is_png = tf.equal(tf.strings.substr(data, 0, 8), _PNG_MAGIC)
    known = _rule(
        tf.logical_or(is_jpeg, is_png), "an image must be a JPEG or PNG file, by its first bytes",
        length,
    )  # fmt: skip
    with tf.control_dependencies([known]):
        return tf.cond(is_jpeg, lambda: _decoded_jpeg(data), lambda: _decoded_png(data))


def _decoded_jpeg(data):
    size = tf.io.extract_jpeg_shape(data)[:2]
    with tf.control_dependencies(_checks_of_size(size)):
        # The accurate transform gives the same pixels as Pillow; the default one does not.
        pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return _share(pixels, 255.0)


def _decoded_png(data):
    # After magic, length and type of the first chunk: width and height, most significant first.
    width, height = tf.unstack(
        tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False), 2
    )
    with tf.control_dependencies(_checks_of_size([height, width])):
        # 8 bits become 16 by a factor of 257, so x / 65535 is exactly what x / 255 was.
        pixels = tf.io.decode_png(data, channels=3, dtype=tf.uint16)
    return _share(pixels, 65535.0)


def _share(pixels, largest):
    # In float64: TensorFlow multiplies by the reciprocal, which in float32 would round differently
    # from NumPy's division.
    return tf.cast(tf.cast(pixels, tf.float64) / largest, tf.float32)


# --- pixels -> map -> files --------------------------------------------------------------------


def _padded(images):
    """Mirrors the right and lower edges up to multiples of 16, as `predictor.pad_to_stride`."""
    for axis in (1, 2):
        length = tf.shape(images)[axis]
        # An image smaller than its padding is mirrored back and forth: period 2 * length.
        pixel = tf.range(-(-length // SIZE_MULTIPLE) * SIZE_MULTIPLE) % (2 * length)
        images = tf.gather(images, tf.minimum(pixel, 2 * length - 1 - pixel), axis=axis)
    return images


def _files_and_figures(sigma_px, size_px):
    """sigma_px [H, W, 1] -> the outputs of `encoded` for one image."""
    stored = tf.cast(tf.round(contract.PNG_MAX * (sigma_px / contract.SIGMA_MAX_PX)), tf.int32)
    # A histogram finds quantiles in a fifth of the time of sorting. Bincount is the oldest such op.
    counts = tf.raw_ops.Bincount(
        arr=tf.reshape(stored, [-1]), size=contract.PNG_MAX + 1, weights=tf.constant([], tf.int32)
    )
    up_to = tf.cumsum(counts)
    pixels = up_to[-1]
    sharp = tf.math.count_nonzero(sigma_px < contract.SHARP_BELOW_PX, dtype=tf.int32)
    focused = _quantile(up_to, _FOCUSED_SHARE)
    return {
        contract.SIGMA_PNG: tf.io.encode_png(tf.cast(stored, tf.uint16), _PNG_COMPRESSION),
        contract.SIZE_PX: size_px,
        contract.SHARE_SHARP: tf.cast(sharp / pixels, tf.float32),
        contract.MEDIAN_SIGMA_PX: _quantile(up_to, 0.5),
        contract.FOCUS_SCORE: 1.0 - focused / contract.SIGMA_MAX_PX,
    }


def _quantile(up_to, share):
    """The quantile `share` of sigma_px, linear between pixels as in NumPy.

    `up_to` [PNG_MAX + 1] int32: how many pixels have the PNG's value i or less.
    """
    position = share * tf.cast(up_to[-1] - 1, tf.float64)
    below = tf.floor(position)
    ranks = tf.cast(tf.stack([below, tf.math.ceil(position)]), tf.int32)
    low, high = tf.unstack(tf.cast(tf.searchsorted(up_to, ranks, side="right"), tf.float64))
    value = low + (position - below) * (high - low)
    return tf.cast(value * (contract.SIGMA_MAX_PX / contract.PNG_MAX), tf.float32)

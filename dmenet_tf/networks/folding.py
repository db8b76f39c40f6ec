"""B for inference: batch normalisation folded into the convolutions, and nothing that only training
needs (auxiliary heads, D's feature).

    image    [N, H, W, 3]  float32 RGB in [0, 1]; H and W multiples of 16, free from call to call
    defocus  [N, H, W, 1]  float32 in [0, 1], 1 = most blurred

The values are those of the Keras model up to float32 rounding. What is algebra here:

- A convolution, then (x - mean) / sqrt(variance + epsilon) + beta, is one convolution. So is the
  preprocessing (RGB to BGR, times 255, minus the mean) before the first convolution: a map of the
  channels alone, it commutes with a padding that repeats pixels.
- Maps travel with their frame, the repeated edge pixel, already around them: [N, H + 2, W + 2, C].
  A convolution with zero padding gives a map of that same size, right everywhere but in the frame,
  which is then written anew from the edge, in place. So hardly a map is copied to pad it, while
  the model copies one before each of its convolutions.
- A 3x3 convolution of a map enlarged x2 (nearest) sees only 2x2 different pixels at each of the
  four positions within an enlarged pixel: four 2x2 convolutions of the small map, 4/9 of the
  multiplications. One of a concatenation is the sum of one of each part.

In float16 or bfloat16 weights and maps are of that type; pixels come in and the last logits leave
for the sigmoid in float32, which the result is too. VGG19's features go beyond float16's 65504: the
encoder then computes all of them times `FLOAT16_SCALE`, which ReLU and pooling let through, and the
kernels that take them in make up for it.

Only operations that old servers know; weights are constants, so that kernels may keep them packed.
TensorFlow takes oneDNN's convolutions and keeps freed memory only with TF_ENABLE_ONEDNN_OPTS=1 in
the environment before it is imported (by default on some processors alone): without it, on one
with AVX2, this graph takes 1.7 to 1.9 times as long.
"""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from dmenet_tf.architecture import (
    CHANNELS_AND_COUNT,
    INFERENCE_PRECISIONS,
    LEVELS,
    REFINEMENTS,
    SIZE_MULTIPLE,
)
from dmenet_tf.networks.float16 import FLOAT16_SCALE
from dmenet_tf.networks.layers import (
    BATCH_NORM_EPSILON,
    LEAKY_SLOPE,
    RequireSizeMultiple,
    own_name,
)
from dmenet_tf.networks.vgg19 import BGR_MEAN


def fold(model: keras.Model, precision: str = "float32") -> "FoldedBlurEstimation":
    """The inference graph of a model of `build_blur_estimation`, any width and precision.

    A copy: training the model further does not change it. `precision`: what the graph computes in,
    one of `INFERENCE_PRECISIONS`.
    """
    if model.name != "blur_estimation":
        raise ValueError(f"fold takes a model of build_blur_estimation; received {model.name}")
    return fold_variables(variables_of(model), precision)


def variables_of(model: keras.Model) -> dict[str, dict[str, np.ndarray]]:
    """{layer: {variable: array}} of a model's layers."""
    return {
        layer.name: {own_name(variable): np.asarray(variable) for variable in layer.weights}
        for layer in model.layers
        if layer.weights
    }


def folded_convolutions(layers: Mapping[str, Mapping[str, np.ndarray]]) -> dict:
    """{convolution: (kernel [h, w, in, out], bias)} of B without its heads, for RGB in [0, 1].

    Batch normalisation and preprocessing are in them: only activations are missing between them.
    """
    weights = {
        name: _folded(variables, layers.get(name.replace("conv", "bn")))
        for name, variables in layers.items()
        if "kernel" in variables and "_aux_" not in name
    }
    weights["conv1_1"] = _preprocessing_folded(*weights["conv1_1"])
    return weights


def fold_variables(
    layers: Mapping[str, Mapping[str, np.ndarray]], precision: str = "float32"
) -> "FoldedBlurEstimation":
    """The inference graph from B's variables, {layer: {variable: array}}, any float type.

    Layers and shapes are those of `shapes.variable_shapes`; they are not checked here.
    """
    if precision not in INFERENCE_PRECISIONS:
        raise ValueError(f"precision must be one of {INFERENCE_PRECISIONS}; received {precision!r}")
    weights = folded_convolutions(layers)
    scale = FLOAT16_SCALE if precision == "float16" else 1.0
    for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1):
        for i in range(1, count + 1):
            kernel, bias = weights[f"conv{block}_{i}"]
            first = (block, i) == (1, 1)
            weights[f"conv{block}_{i}"] = (kernel * scale if first else kernel, bias * scale)
    for level, skip, _, _ in LEVELS:
        name = f"level{level}_conv1"
        kernel, bias = weights.pop(name)
        below = kernel.shape[2] - layers[skip]["bias"].size
        # The deepest level has features of the encoder below it, too.
        of_below = scale if level == LEVELS[0][0] else 1.0
        weights[f"{name}_up"] = (_phase_kernel(kernel[:, :, :below] / of_below), None)
        weights[f"{name}_skip"] = (kernel[:, :, below:] / scale, bias)
    kind = tf.as_dtype(precision).as_numpy_dtype
    return FoldedBlurEstimation(
        {
            name: [None if w is None else np.asarray(w).astype(kind) for w in pair]
            for name, pair in weights.items()
        }
    )


class FoldedBlurEstimation(tf.Module):
    """B without training parts: `__call__(images)`, see the module. Made by `fold`."""

    def __init__(self, weights):
        super().__init__(name="folded_blur_estimation")
        # A tuple: tf.Module would wrap a dict. NumPy arrays become constants of a traced graph.
        self._weights = tuple(weights.items())

    @property
    def channels(self) -> int:
        """Of the first convolution, as large as the photo: what memory depends on."""
        return dict(self._weights)["conv1_1"][0].shape[-1]

    def as_operations(self) -> "FoldedBlurEstimation":
        """The same for calls outside of a graph, each of which would copy weights of NumPy."""
        return self.with_weights(tf.constant)

    def with_weights(self, change) -> "FoldedBlurEstimation":
        """The same with `change` made to each array of its weights."""
        return FoldedBlurEstimation(
            {name: [None if w is None else change(w) for w in pair] for name, pair in self._weights}
        )

    @tf.autograph.experimental.do_not_convert  # no control flow on tensors: half the tracing time
    def __call__(self, images):
        weights = dict(self._weights)
        images = RequireSizeMultiple(SIZE_MULTIPLE)(tf.convert_to_tensor(images, tf.float32))
        images = tf.cast(images, weights["conv1_1"][0].dtype)
        frames = _Frames(images)

        def conv(x, name, level=0, activation=_leaky):
            y = _conv(x, *weights[name], "SAME", activation)
            return frames.repair(y, level)

        x, skips = images, {}
        for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1):
            x = _framed(x)
            for i in range(1, count):
                x = conv(x, f"conv{block}_{i}", block - 1, tf.nn.relu)
            # The last one without a frame: pooling would not meet the right pairs in it.
            x = _conv(x, *weights[f"conv{block}_{count}"], "VALID", tf.nn.relu)
            if block < 5:
                skips[block - 1] = x
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = _framed(x)
        for level, _, _, count in LEVELS:
            below = _enlarged(_conv(x, *weights[f"level{level}_conv1_up"], "VALID"))
            y = _conv(_framed(skips[level]), *weights[f"level{level}_conv1_skip"], "SAME")
            x = frames.repair(_leaky(y + below), level)
            for i in range(2, count + 1):
                x = conv(x, f"level{level}_conv{i}", level)
        for index in range(REFINEMENTS):
            shortcut = _conv(x, *weights[f"refine{index}_shortcut_conv"], "SAME", _leaky)
            x = conv(conv(x, f"refine{index}_conv1"), f"refine{index}_conv2") + shortcut
        x = conv(conv(x, "final_conv1"), "final_conv2")
        return tf.nn.sigmoid(tf.cast(_conv(x, *weights["final_conv3"], "VALID"), tf.float32))


def _folded(convolution, normalisation):
    kernel, bias = convolution["kernel"], convolution["bias"]
    if normalisation is None:
        return kernel, bias
    kernel, bias = np.float64(kernel), np.float64(bias)
    mean, variance, beta = (
        np.float64(normalisation[name]) for name in ("moving_mean", "moving_variance", "beta")
    )
    scale = 1.0 / np.sqrt(variance + BATCH_NORM_EPSILON)
    return kernel * scale, (bias - mean) * scale + beta


def _preprocessing_folded(kernel, bias):
    kernel, bias = np.float64(kernel), np.float64(bias)
    return 255.0 * kernel[:, :, ::-1], bias - np.einsum("hwio,i->o", kernel, BGR_MEAN)


def _phase_kernel(kernel):
    """[3, 3, I, O] on an enlarged map -> [2, 2, I, 4 * O] on the small one.

    Row 2i of the enlarged map has small rows i - 1, i, i around it, row 2i + 1 has i, i, i + 1:
    the taps (w0, w1 + w2) and (w0 + w1, w2). In a framed map, odd rows come first (`_enlarged`).
    """
    rows = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], kernel.dtype)
    phases = np.einsum("aph,bqw,hwio->pqiabo", rows, rows, kernel)
    return phases.reshape(2, 2, kernel.shape[2], -1)


def _enlarged(phases):
    """[N, h + 1, w + 1, 4 * O] of `_phase_kernel` -> [N, 2h + 2, 2w + 2, O], frame not valid.

    Windows j and j + 1 of a framed map, of small rows j - 1, j and j, j + 1, make rows 2j - 1
    (odd phase) and 2j (even), which in the framed result stand at 2j and 2j + 1.
    """
    return tf.nn.depth_to_space(phases, 2)


def _conv(x, kernel, bias, padding, activation=None):
    # BiasAdd and the activation right after a convolution run within its kernel.
    y = tf.nn.conv2d(x, tf.constant(kernel), 1, padding)
    y = y if bias is None else tf.nn.bias_add(y, tf.constant(bias))
    return y if activation is None else activation(y)


def _leaky(x):
    return tf.nn.leaky_relu(x, LEAKY_SLOPE)


def _framed(x):
    return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")


class _Frames:
    """Writes the frames of framed maps; which pixels that means is worked out once a level."""

    def __init__(self, images):
        batch, height, width = tf.unstack(tf.shape(images)[:3])
        self._pixels = [_frame_pixels(batch, height // 2**i, width // 2**i) for i in range(5)]

    def repair(self, x, level):
        """[N, H + 2, W + 2, C] at 1/2^level size: the frame becomes the edge pixel inside it."""
        frame, edge = self._pixels[level]
        pixels = tf.reshape(x, [-1, x.shape[-1]])
        # Into x's own memory, which tensor_scatter_nd_update would copy first. Sound since nothing
        # else reads the values of x, which was only just computed, and the edge is read
        # before the frame is written.
        pixels = tf.raw_ops.InplaceUpdate(x=pixels, i=frame, v=tf.gather(pixels, edge))
        return tf.reshape(pixels, tf.shape(x))


def _frame_pixels(batch, height, width):
    """Numbers of a framed batch's frame pixels, and of the pixel inside that each one repeats."""
    inner_rows = tf.range(1, height + 1)
    columns, ends = tf.range(width + 2), [0, width + 1]
    rows = tf.concat([tf.repeat([0, height + 1], width + 2), tf.repeat(inner_rows, 2)], 0)
    columns = tf.concat([tf.tile(columns, [2]), tf.tile(ends, [height])], 0)
    picture = tf.range(batch)[:, None] * (height + 2) * (width + 2)

    def number(row, column):
        return tf.reshape(picture + row * (width + 2) + column, [-1])

    edge = number(tf.clip_by_value(rows, 1, height), tf.clip_by_value(columns, 1, width))
    return number(rows, columns), edge

"""B, the blur estimation network: a photo in, its defocus map out (Lee et al. 2019, Section 4).

A VGG19 encoder, a decoder that goes up four levels joining the encoder's features, an auxiliary
head on each level, seven residual refinement blocks, and the map.

    image    [B, H, W, 3]   float RGB in [0, 1]; H and W multiples of 16, free from call to call
    defocus  [B, H, W, 1]   float32 in [0, 1], 1 = most blurred
    feature  [B, H, W, 64]  the last decoder level, before refinement: what D sees
    aux0..4  [B, h, w, 1]   float32 in [0, 1], deepest first: 1/16, 1/8, 1/4, 1/2 and full size

Layers are named after their level, 4 (1/16 size) to 0 (full size): `level3_conv1`, `level3_bn1`,
`level4_aux_conv1`, `refine0_shortcut_conv`, `final_conv3`.
"""

import re
from typing import NamedTuple

import keras
import tensorflow as tf

from dmenet_tf.architecture import CHANNELS_AND_COUNT, FINAL, LEVELS, REFINEMENTS, SIZE_MULTIPLE
from dmenet_tf.networks.float16 import one, weakening
from dmenet_tf.networks.layers import (
    BatchNorm,
    RequireSizeMultiple,
    convolution,
    normalised,
    scaled,
)
from dmenet_tf.networks.vgg19 import vgg19_features


def build_blur_estimation(width=1.0, decoder_width=None):
    """B at `width` times the paper's channels; see the module for its input and outputs.

    `decoder_width`: of the decoder with its heads, where that is not the encoder's. The feature
    that D sees has the decoder's 64 channels times it.
    Raises ValueError on a call with a size that is no multiple of 16.
    """
    image = keras.Input((None, None, 3), name="image")
    checked = RequireSizeMultiple(SIZE_MULTIPLE, name="size_check")(image)
    encoder = vgg19_features(checked, width)
    width = width if decoder_width is None else decoder_width
    x = encoder["conv5_4"]
    outputs = {"aux0": _auxiliary(x, scaled(256, width), level=4, small=True)}
    for level, skip, channels, count in LEVELS:
        x = keras.layers.UpSampling2D(2, name=f"level{level}_up")(x)
        x = keras.layers.Concatenate(name=f"level{level}_join")([x, encoder[skip]])
        # In float16, the encoder's features are small; what is beside them is not but on level 3.
        ordinary = 0 if level == LEVELS[0][0] else x.shape[-1] - encoder[skip].shape[-1]
        x = _block(x, scaled(channels, width), f"level{level}", 1, small=True, ordinary=ordinary)
        for i in range(2, count + 1):
            x = _block(x, scaled(channels, width), f"level{level}", i)
        aux_channels = max(channels // 2, 32)  # 128, 64, 32, 32
        outputs[f"aux{4 - level}"] = _auxiliary(x, scaled(aux_channels, width), level)
    outputs["feature"] = x
    for index in range(REFINEMENTS):
        x = _refinement(x, scaled(64, width), f"refine{index}")
    for i, channels in FINAL:
        x = _block(x, scaled(channels, width), "final", i)
    # In float32 even under mixed precision: bfloat16's 8 bits are too coarse for a map.
    logits = convolution(x, 1, "final_conv3", dtype="float32")
    outputs["defocus"] = keras.layers.Activation("sigmoid", dtype="float32", name="defocus")(logits)
    model = keras.Model(image, outputs, name="blur_estimation")
    _follow_strength(model)
    return model


def _follow_strength(model) -> None:
    """Scales features in float16 by how strong what the batch normalisation behind them saw was."""
    measured = {5: "level4_aux_bn1", 3: "level2_bn1", 2: "level1_bn1", 1: "level0_bn1"}
    factors = {block: weakening(model.get_layer(name)) for block, name in measured.items()}
    # Level 3 sees both block 5 and block 4, which lies between 5 and 3.
    factors[4] = lambda: tf.sqrt(factors[5]() * factors[3]())
    for layer in encoder_layers(model):
        block, count = map(int, re.findall(r"\d", layer.name))
        layer.factor = factors[block]
        if count == 1 and block > 1:
            channels, before = layer.kernel.shape[2], factors[block - 1]
            layer.input_factors = lambda c=channels, f=before: [(c, f)]
    for level, skip, _, _ in LEVELS:
        conv, of_skip = model.get_layer(f"level{level}_conv1"), factors[level + 1]
        skipped, of_output = model.get_layer(skip).kernel.shape[3], of_skip
        inputs = [(skipped, of_skip)]
        if level == LEVELS[0][0]:  # below it is block 5, no decoder level
            of_output = factors[5]
            inputs.insert(0, (conv.kernel.shape[2] - skipped, factors[5]))
        conv.factor = model.get_layer(f"level{level}_bn1").factor = of_output
        conv.input_factors = lambda i=inputs: i
    for name in ("level4_aux_conv1", "level4_aux_bn1"):
        model.get_layer(name).factor = factors[5]


def keep_strength(model) -> None:
    """Ends that: for features that are kept, whose scale must stay. They hold up to 16 million."""
    for layer in model.layers:
        if getattr(layer, "small", False):
            layer.factor, layer.input_factors = one, None


def _block(x, channels, name, i, small=False, ordinary=0):
    x = convolution(x, channels, f"{name}_conv{i}", small=small, ordinary=ordinary)
    return normalised(x, f"{name}_bn{i}", small)


def _refinement(x, channels, name):
    shortcut = convolution(x, channels, f"{name}_shortcut_conv", kernel_size=1)
    shortcut = normalised(shortcut, f"{name}_shortcut_bn")
    for i in (1, 2):
        x = _block(x, channels, name, i)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _auxiliary(x, channels, level, small=False):
    name = f"level{level}_aux"
    x = _block(x, channels, name, 1, small=small)
    x = BatchNorm(name=f"{name}_bn2")(convolution(x, 1, f"{name}_conv2"))
    return keras.layers.Activation("sigmoid", dtype="float32", name=f"aux{4 - level}")(x)


def encoder_layers(model: keras.Model) -> list:
    """VGG19's convolutions in B."""
    return [layer for layer in model.layers if re.fullmatch(r"conv\d_\d", layer.name)]


class Parts(NamedTuple):
    """B as four models that share its layers, for what not every image needs all of.

    encoder     image -> the five features that the decoder joins, finest first
    decoder     those -> what levels 3 to 0 give, of which the last is `feature`
    heads       the encoder's last feature (level 4) and those four -> `aux0` .. `aux4`
    refinement  `feature` -> `defocus`
    """

    encoder: keras.Model
    decoder: keras.Model
    heads: keras.Model
    refinement: keras.Model


ENCODER_ENDS = tuple(
    f"conv{block}_{count}" for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1)
)


def parts(model: keras.Model) -> Parts:
    """The parts of a model of `build_blur_estimation`; each has that model's own weights."""
    features = [model.get_layer(name).output for name in ENCODER_ENDS]
    levels = [model.get_layer(f"level{i}_aux_conv1_pad").input for i in (4, 3, 2, 1, 0)]
    heads = {name: output for name, output in model.output.items() if name.startswith("aux")}
    defocus = {"defocus": model.output["defocus"]}
    return Parts(
        keras.Model(model.input, features, name="encoder"),
        keras.Model(features, levels[1:], name="decoder"),
        keras.Model(levels, heads, name="heads"),
        keras.Model(levels[-1], defocus, name="refinement"),
    )

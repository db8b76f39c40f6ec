"""The authors' graph rebuilt: the recipe's weights, and the training step of the reference.

Run as a program it prints, as one JSON object, how far every gradient norm is from the reference:

    python -m tests.support.authors_graph FOLDER

That needs TensorFlow alone. It composes batch normalisation from elementwise operations, as the
reference does, since gradient norms tell one rounding from another (see `test_published.py`).
"""

import json
import os
import re
import sys
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from dmenet_tf.networks import (
    build_blur_estimation,
    build_content_preservation,
    build_domain_discriminator,
    build_sharpness_calibration,
    layers,
)
from dmenet_tf.training import losses
from dmenet_tf.weights.published import published_names


def recipe(name, shape):
    """The weights that the reference numbers were made with, from a variable's name alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rsplit("/", 1)[-1]
    if kind == "moving_variance:0":
        values = rng.uniform(0.5, 2, shape)
    elif kind.startswith("W_"):
        gain = 0.01 if "conv1_1" in name else 0.05 if "uf/c3" in name else 1.0
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1])) * gain
    else:
        values = rng.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def build_networks():
    """B, S, D and C at full width with the recipe's weights."""
    b, s, d = build_blur_estimation(), build_sharpness_calibration(), build_domain_discriminator()
    for model in (b, s, d):
        for name, variable in published_names(model).items():
            variable.assign(recipe(name, variable.shape))
    c = build_content_preservation()
    for layer in c.layers:
        if layer.weights:
            kernel, bias = (f"perceptual/{layer.name}/{kind}_conv2d:0" for kind in "Wb")
            layer.set_weights([recipe(kernel, layer.kernel.shape), recipe(bias, layer.bias.shape)])
    return b, s, d, c


def training_step(networks, inputs):
    """({loss name: value}, L_g, L_d, {published name: gradient}), each domain its own batch."""
    b, s, d, c = networks
    label = tf.constant(inputs["synthetic_map"])
    with tf.GradientTape(persistent=True) as tape:
        synthetic, real, unlabelled = (
            b(inputs[name], training=True) for name in ("synthetic", "real", "unlabelled")
        )
        d_synthetic, d_real, d_unlabelled = (
            d(outputs["feature"], training=True) for outputs in (synthetic, real, unlabelled)
        )
        named = {
            "d_synthetic": losses.discriminator_loss(d_synthetic, True),
            "d_real_labelled": losses.discriminator_loss(d_real, False),
            "d_real_unlabelled": losses.discriminator_loss(d_unlabelled, False),
            "adversarial": 0.5
            * (losses.adversarial_loss(d_real) + losses.adversarial_loss(d_unlabelled)),
            "defocus": losses.defocus_loss(synthetic["defocus"], label),
            "content": losses.content_loss(c(synthetic["defocus"]), c(label)),
            "sharpness": losses.sharpness_loss(
                s(real["defocus"], training=True), inputs["real_binary"]
            ),
        }
        for i in range(5):
            named[f"aux{i}"] = losses.auxiliary_loss(synthetic[f"aux{i}"], label)
        l_g = named["defocus"] + tf.add_n([named[f"aux{i}"] for i in range(5)])
        l_g += 1e-4 * named["content"] + 2e-2 * named["sharpness"] + 1e-3 * named["adversarial"]
        l_d = named["d_synthetic"] + 0.5 * (named["d_real_labelled"] + named["d_real_unlabelled"])
    gradients = {}
    for loss, models in ((l_g, (b, s)), (l_d, (d,))):
        for model in models:
            variables = {n: v for n, v in published_names(model).items() if "moving" not in n}
            names, values = list(variables), list(variables.values())
            gradients.update(zip(names, tape.gradient(loss, values), strict=True))
    return named, l_g, l_d, gradients


def cancelled_biases(names):
    """Biases before a batch normalisation: their gradient is zero but for rounding."""
    names = set(names)
    return {
        name
        for name in names
        if name.endswith("/b_conv2d:0")
        and re.sub(r"/c([^/]*)/b_conv2d:0", r"/b\1/beta:0", name) in names
    }


def _elementwise_batch_norm(self, inputs, training=None, mask=None):
    mean, variance = tf.nn.moments(inputs, [0, 1, 2])
    offset = tf.convert_to_tensor(self.beta)
    return tf.nn.batch_normalization(inputs, mean, variance, offset, None, self.epsilon)


def main(folder):
    layers.BatchNorm.call = _elementwise_batch_norm
    reference = json.loads((folder / "train_step.json").read_text())["gradient_norms"]
    inputs = dict(np.load(folder / "train_inputs.npz"))
    *_, gradients = training_step(build_networks(), inputs)
    norms = {name: float(tf.norm(gradient)) for name, gradient in gradients.items()}
    zero = cancelled_biases(norms)
    errors = {name: abs(norms[name] / reference[name] - 1) for name in set(norms) - zero}
    figures = {
        "tensorflow": tf.__version__,
        "compared": len(errors),
        "above_1e-3": sum(error >= 1e-3 for error in errors.values()),
        "median": float(np.median(list(errors.values()))),
        "worst": max(errors.values()),
        "largest_cancelled_bias": max(norms[name] for name in zero),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

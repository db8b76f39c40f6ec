"""What tests of networks share: inputs, and outputs and gradients as arrays."""

import numpy as np
import tensorflow as tf

WIDTH = 0.0625


def random_input(size, channels, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(size=(2, *size, channels)), tf.float32)


def flat(outputs):
    return [np.asarray(tensor) for tensor in tf.nest.flatten(outputs)]


def gradients(model, x):
    """Of the summed squares of all outputs: in the model's own weights, and in its input."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = tf.nest.flatten(model(x, training=True))
        total = tf.add_n([tf.reduce_mean(tf.cast(output, tf.float32) ** 2) for output in outputs])
    return tape.gradient(total, model.trainable_variables), tape.gradient(total, x)

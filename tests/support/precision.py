"""Tests that change how TensorFlow and Keras compute leave that as it was."""

import keras
import tensorflow as tf


def settings_restored():
    """The body of a fixture: afterwards, float32, and TensorFloat-32 as it was."""
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    keras.mixed_precision.set_global_policy("float32")
    tf.config.experimental.enable_tensor_float_32_execution(tf32)

"""A small trainer and a batch for it."""

import keras
import numpy as np
import tensorflow as tf

from dmenet_tf.config import LossConfig, NetworkConfig, TrainingConfig
from dmenet_tf.training import precision
from dmenet_tf.training.trainer import Trainer, build_networks

LAMBDAS = LossConfig()
# Large enough that one step moves every weight visibly.
TRAINING = TrainingConfig(learning_rate=1e-3)


def make_trainer(parts="BDCS", lambdas=LAMBDAS, training=TRAINING, steps_per_epoch=1000, **network):
    keras.utils.set_random_seed(1)
    precision.set_up(training.precision)
    config = NetworkConfig(parts=parts, width=0.0625, vgg_weights="none", **network)
    return Trainer(build_networks(config), lambdas, training, steps_per_epoch, config.statistics)


def make_batch(seed=0, n=2, side=32):
    rng = np.random.default_rng(seed)

    def uniform(channels):
        return tf.constant(rng.random((n, side, side, channels)), tf.float32)

    return {
        "synthetic": uniform(3),
        "defocus": uniform(1),
        "labelled": uniform(3),
        "blurred": tf.round(uniform(1)),
        "unlabelled": uniform(3),
    }

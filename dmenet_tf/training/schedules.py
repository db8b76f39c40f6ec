"""Learning rate over the steps of a run."""

import math

import keras
import tensorflow as tf


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of the optimizer's step, counted from 0.

    step      rate * decay^(step // decay_steps): the paper's, times 0.8 every 20 epochs
    cosine    rate * (1 + cos(pi * step / steps)) / 2: down to 0 at the last step, or when the
              variable `share` (`time_limit.py`) is 1, whichever is further on
    warm-up   the first `warmup_steps` have (step + 1) / warmup_steps of that
    """

    def __init__(self, rate, schedule, steps, decay_steps, decay, warmup_steps=0, share=None):
        self.rate, self.schedule, self.steps = rate, schedule, steps
        self.decay_steps, self.decay, self.warmup_steps = decay_steps, decay, warmup_steps
        self._share = share

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        if self.schedule == "cosine":
            share = tf.minimum(step / self.steps, 1.0)
            if self._share is not None:
                share = tf.maximum(share, self._share)
            rate = self.rate * 0.5 * (1.0 + tf.cos(math.pi * share))
        else:
            rate = self.rate * tf.pow(float(self.decay), tf.floor(step / self.decay_steps))
        if self.warmup_steps:
            rate *= tf.minimum((step + 1.0) / self.warmup_steps, 1.0)
        return rate

    def get_config(self):
        return {name: value for name, value in vars(self).items() if name != "_share"}

"""The optimizers, and updates of both networks that are made together or not at all.

float16 overflows now and then, which loss scaling answers by leaving an update out. D learns first;
if L_g then overflows, B would stand still against a D that has moved on. So D is put back.
"""

from typing import NamedTuple

import tensorflow as tf

from dmenet_tf import keras_versions
from dmenet_tf.config import TrainingConfig
from dmenet_tf.training.schedules import LearningRate


def build_optimizer(config: TrainingConfig, steps_per_epoch: int, variables, slowed=(), share=None):
    """The optimizer under the configuration's schedule, with a loss scale of its own for float16.

    The variables `slowed` learn at `config.encoder_rate` times the rate. share: as of
    `schedules.LearningRate`. Raises ValueError for an optimizer that this Keras does not have.
    """
    schedule = LearningRate(
        config.learning_rate,
        config.schedule,
        config.steps,
        steps_per_epoch * config.decay_epochs,
        config.decay,
        config.warmup_steps,
        share,
    )
    optimizer = keras_versions.optimizer(
        config.optimizer, schedule, config.beta_1, slowed, config.encoder_rate
    )
    if config.precision == "mixed_float16":
        optimizer = keras_versions.loss_scaled(optimizer)
    keras_versions.build(optimizer, variables)  # before a checkpoint is restored into it
    return optimizer


class Made(NamedTuple):
    """An update that was made, unless it overflowed, and what takes it back."""

    finite: tf.Tensor
    variables: list
    values: list

    def take_back(self) -> None:
        for variable, value in zip(self.variables, self.values, strict=True):
            variable.assign(value)


class Updates:
    """The updates of a step, in their order: `discriminator`, then `generator`.

    skipped: how many steps updated nothing since the process began; None without loss scaling,
        where every update is made.
    """

    def __init__(self, generator_optimizer, discriminator_optimizer):
        self._generator, self._discriminator = generator_optimizer, discriminator_optimizer
        self.skipped = None
        if keras_versions.loss_scale(generator_optimizer) is not None:
            self.skipped = tf.Variable(0, dtype=tf.int64, trainable=False)

    def discriminator(self, gradients, variables) -> Made | None:
        """Updates D, unless its gradients overflowed; returns what `generator` is to be given."""
        made = None
        if self.skipped is not None:
            moved = [*variables, *keras_versions.state_of_scaled(self._discriminator)]
            before = [tf.identity(tf.convert_to_tensor(variable)) for variable in moved]
            made = Made(keras_versions.all_finite(gradients), moved, before)
        keras_versions.apply(self._discriminator, gradients, variables)
        return made

    def generator(self, gradients, variables, made: Made | None = None) -> None:
        """Updates B and S, unless an update of the step overflowed; then D is as before, too.

        A loss scale is lowered where its own gradients overflowed.
        """
        if self.skipped is None:
            keras_versions.apply(self._generator, gradients, variables)
            return
        finite = keras_versions.all_finite(gradients)
        theirs = tf.constant(True) if made is None else made.finite

        def apply():
            keras_versions.apply(self._generator, gradients, variables)
            return tf.constant(0)

        def take_back():
            made.take_back()
            return tf.constant(0)

        def nothing():
            return tf.constant(0)

        tf.cond(theirs, apply, nothing)
        if made is not None:
            tf.cond(theirs & ~finite, take_back, nothing)
        self.skipped.assign_add(tf.cast(~(theirs & finite), tf.int64))

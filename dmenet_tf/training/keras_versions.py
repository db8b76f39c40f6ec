"""The few places where Keras 2.15 and Keras 3 differ.

Loss scaling, applying gradients, and a second learning rate.
"""

import keras
import tensorflow as tf

IS_KERAS_3 = not keras.__version__.startswith("2.")


class TwoRates(keras.optimizers.Adam):
    """Adam with a factor on the learning rate of some of its variables."""

    def __init__(self, learning_rate, slowed, factor, **options):
        super().__init__(learning_rate, **options)
        self._slowed, self._factor = list(slowed), factor

    def build(self, variables):
        super().build(variables)
        # Places, since an update is handed the backend's variable and not Keras's.
        self._slow = {self._get_variable_index(variable) for variable in self._slowed}

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factor if self._get_variable_index(variable) in self._slow else 1.0
        super().update_step(gradient, variable, learning_rate * factor)


def adam(learning_rate, beta_1: float, slowed=(), factor=1.0):
    """Adam; the variables `slowed` learn at `factor` times the learning rate.

    Raises ValueError for a factor on Keras 2, whose optimizers have one learning rate.
    """
    if factor == 1.0 or not slowed:
        return keras.optimizers.Adam(learning_rate, beta_1=beta_1)
    if not IS_KERAS_3:
        raise ValueError(
            f"training.encoder_rate other than 1 needs Keras 3; received Keras {keras.__version__}"
        )
    return TwoRates(learning_rate, slowed, factor, beta_1=beta_1)


def loss_scaled(optimizer):
    """Wraps an optimizer with dynamic loss scaling, for float16."""
    if IS_KERAS_3:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return keras.mixed_precision.LossScaleOptimizer(optimizer)


def scale_loss(optimizer, loss):
    """The loss to differentiate; `apply` undoes the scale. The identity without loss scaling."""
    if IS_KERAS_3:
        return optimizer.scale_loss(loss)
    return loss if loss_scale(optimizer) is None else optimizer.get_scaled_loss(loss)


def apply(optimizer, gradients, variables) -> None:
    """Updates `variables` with the gradients of the scaled loss."""
    if IS_KERAS_3:
        if not tf.distribute.in_cross_replica_context():
            optimizer.apply(gradients, variables)
        elif loss_scale(optimizer) is None:
            _apply_everywhere(optimizer, gradients, variables)
        else:
            _apply_scaled(optimizer, gradients, variables)
        return
    if loss_scale(optimizer) is not None:
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _apply_everywhere(optimizer, gradients, variables) -> None:
    """Updates the variables of all replicas, which share the gradients.

    Keras's own update is for a replica, and first adds up what each of them has.
    """
    strategy = tf.distribute.get_strategy()

    def update(gradients, variables, rate):
        for gradient, variable in zip(gradients, variables, strict=True):
            strategy.extended.update(
                getattr(variable, "value", variable),
                lambda copy, gradient, rate: optimizer.update_step(gradient, copy, rate),
                args=(gradient, rate),
                group=False,
            )

    # What `apply` calls once it has seen to everything else.
    object.__setattr__(optimizer, "_backend_update_step", update)
    try:
        optimizer.apply(gradients, variables)
    finally:
        object.__delattr__(optimizer, "_backend_update_step")


def _apply_scaled(optimizer, gradients, variables) -> None:
    """What Keras's `LossScaleOptimizer.apply` does, for replicas that share the gradients."""
    strategy, scale = tf.distribute.get_strategy(), optimizer.dynamic_scale

    def unscaled(values):
        values = [value / scale for value in values]
        return values, tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in values])

    gradients, finite = strategy.run(unscaled, args=(list(gradients),))
    finite = strategy.experimental_local_results(finite)[0]
    grows = tf.equal(optimizer.step_counter, optimizer.dynamic_growth_steps - 1)

    def apply():
        _apply_everywhere(optimizer.inner_optimizer, gradients, variables)
        scale.assign(tf.where(grows, 2.0 * scale, scale))
        counted = optimizer.step_counter + 1
        optimizer.step_counter.assign(tf.where(grows, tf.zeros_like(counted), counted))
        return tf.constant(0)

    def skip():
        scale.assign(0.5 * scale)
        optimizer.step_counter.assign(0)
        return tf.constant(0)

    tf.cond(finite, apply, skip)


def state_of_scaled(optimizer) -> list:
    """What an optimizer of `loss_scaled` remembers of updates; its scale is none of that."""
    return list(optimizer.inner_optimizer.variables)


def loss_scale(optimizer) -> float | None:
    """The present loss scale; None where the optimizer has none."""
    for name in ("dynamic_scale", "loss_scale"):  # Keras 3, Keras 2.15
        if hasattr(optimizer, name):
            return getattr(optimizer, name)
    return None

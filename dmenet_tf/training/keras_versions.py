"""The few places where Keras 2.15 and Keras 3 differ.

Loss scaling, applying gradients, and a second learning rate.
"""

import keras

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
        optimizer.apply(gradients, variables)
        return
    if loss_scale(optimizer) is not None:
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def state_of_scaled(optimizer) -> list:
    """What an optimizer of `loss_scaled` remembers of updates; its scale is none of that."""
    return list(optimizer.inner_optimizer.variables)


def loss_scale(optimizer) -> float | None:
    """The present loss scale; None where the optimizer has none."""
    for name in ("dynamic_scale", "loss_scale"):  # Keras 3, Keras 2.15
        if hasattr(optimizer, name):
            return getattr(optimizer, name)
    return None

"""The few places where Keras 2.15 and Keras 3 differ: loss scaling and applying gradients."""

import keras

IS_KERAS_3 = not keras.__version__.startswith("2.")


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


def loss_scale(optimizer) -> float | None:
    """The present loss scale; None where the optimizer has none."""
    for name in ("dynamic_scale", "loss_scale"):  # Keras 3, Keras 2.15
        if hasattr(optimizer, name):
            return getattr(optimizer, name)
    return None

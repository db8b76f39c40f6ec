"""The few places where Keras 2.15 (TensorFlow 2.15) and Keras 3 differ.

Optimizers: which there are, applying gradients, loss scaling, a second learning rate, and what they
remember. Names of variables. tensorflow-addons, at its end of life, imports beside Keras 2 alone:
there it has the optimizers that Keras lacks, which are of Keras's older kind
(`keras.optimizers.legacy`).
"""

import functools
import warnings

from dmenet_tf.environment import settle_keras

settle_keras()

import keras
import tensorflow as tf

IS_KERAS_3 = not keras.__version__.startswith("2.")
# LAMB's own (You et al., 2020), which Keras and tensorflow-addons each set otherwise by default.
LAMB_EPSILON = 1e-6
# What an optimizer remembers of each variable, as checkpoints, Keras and its older kind call it.
_REMEMBERED = (
    ("momentum", "_momentums", "m"),
    ("velocity", "_velocities", "v"),
    ("slow", "", "slow"),
)


class Adam(keras.optimizers.Adam):
    """Keras 3's Adam, a variable's update being one operation, TensorFlow's own of this optimizer.

    Keras makes it of thirty, many of single numbers: half of all operations of a training step,
    each of which a GPU starts, and half of the time that tracing the step takes. The variables
    `slowed` learn at `factor` times the learning rate.
    """

    def __init__(self, learning_rate, slowed=(), factor=1.0, **options):
        super().__init__(learning_rate, **options)
        self._slowed, self._factor, self._update = list(slowed), factor, None

    def build(self, variables):
        super().build(variables)
        # Places, since an update is handed the backend's variable and not Keras's.
        self._slow = {self._get_variable_index(variable) for variable in self._slowed}

    def apply(self, grads, trainable_variables=None):
        # Once for all variables.
        beta1, beta2 = tf.constant(self.beta_1), tf.constant(self.beta_2)
        updates = tf.cast(tf.convert_to_tensor(self.iterations) + 1, tf.float32)
        self._update = functools.partial(
            tf.raw_ops.ResourceApplyAdam,
            beta1_power=tf.pow(beta1, updates),
            beta2_power=tf.pow(beta2, updates),
            beta1=beta1,
            beta2=beta2,
            epsilon=tf.constant(self.epsilon),
        )
        super().apply(grads, trainable_variables)
        self._update = None

    def update_step(self, gradient, variable, learning_rate):
        place = self._get_variable_index(variable)
        of_variable = variable, self._momentums[place], self._velocities[place]
        var, m, v = (tensorflow_variable(each).handle for each in of_variable)
        rate = learning_rate * self._factor if place in self._slow else learning_rate
        gradient = tf.cast(gradient, variable.dtype)
        self._update(var=var, m=m, v=v, lr=rate, grad=gradient)


def optimizer(name: str, learning_rate, beta_1: float, slowed=(), factor=1.0):
    """`adam`, `lamb`, `radam` or `lookahead` (Adam with slow weights).

    The variables `slowed` learn at `factor` times the learning rate, which is Adam's alone.
    Raises ValueError for what this Keras does not have.
    """
    if name == "adam":
        return adam(learning_rate, beta_1, slowed, factor)
    if factor != 1.0:
        raise ValueError(
            f"training.encoder_rate other than 1 needs training.optimizer adam; received {name}"
        )
    options = {"learning_rate": learning_rate, "beta_1": beta_1}
    if name == "lamb" and hasattr(keras.optimizers, "Lamb"):
        return keras.optimizers.Lamb(epsilon=LAMB_EPSILON, **options)
    addons = _addons(name)
    if name == "lamb":
        return addons.LAMB(epsilon=LAMB_EPSILON, **options)
    if name == "radam":
        return addons.RectifiedAdam(**options)
    return addons.Lookahead(keras.optimizers.legacy.Adam(**options))


def _addons(name: str):
    """The optimizers of tensorflow-addons; ValueError where it cannot be imported."""
    if IS_KERAS_3:
        kept = "adam or lamb" if hasattr(keras.optimizers, "Lamb") else "adam"
        raise ValueError(
            f"training.optimizer must be {kept} with Keras 3, since tensorflow-addons, which has "
            f"{name}, needs Keras 2 (the extra [addons]); received Keras {keras.__version__}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is at its end of life
            from tensorflow_addons import optimizers
    except ImportError as error:
        raise ValueError(
            f"training.optimizer {name} needs tensorflow-addons, the extra [addons]; "
            f"received: {error}"
        ) from error
    return optimizers


def adam(learning_rate, beta_1: float, slowed=(), factor=1.0):
    """Adam; the variables `slowed` learn at `factor` times the learning rate.

    Raises ValueError for a factor on Keras 2, whose optimizers have one learning rate.
    """
    if IS_KERAS_3:
        return Adam(learning_rate, slowed, factor, beta_1=beta_1)
    if slowed and factor != 1.0:
        raise ValueError(
            f"training.encoder_rate other than 1 needs Keras 3; received Keras {keras.__version__}"
        )
    # Otherwise it would compile each update by XLA, whatever `training.jit` says.
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, jit_compile=False)


def build(optimizer, variables) -> None:
    """Makes what the optimizer will remember of `variables`."""
    if _is_legacy(optimizer):
        _inner(optimizer)._create_all_weights(variables)
    else:
        optimizer.build(variables)


def learning_rate(optimizer) -> float:
    """The rate of the next update; for a Keras 2 optimizer that of the last one."""
    rate = optimizer.learning_rate
    return float(rate(optimizer.iterations) if callable(rate) else rate)


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
    if loss_scale(optimizer) is None:
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return
    gradients = optimizer.get_unscaled_gradients(gradients)
    iterations = tf.identity(optimizer.iterations)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    # Keras 2 counts an update that it left out for its overflow; Keras 3 does not.
    made = all_finite(gradients)
    optimizer.iterations.assign(iterations + tf.cast(made, iterations.dtype))


def _apply_everywhere(optimizer, gradients, variables) -> None:
    """Updates the variables of all replicas, which share the gradients.

    Keras's own update is for a replica, and first adds up what each of them has.
    """
    strategy = tf.distribute.get_strategy()

    def update(gradients, variables, rate):
        for gradient, variable in zip(gradients, variables, strict=True):
            strategy.extended.update(
                tensorflow_variable(variable),
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
        return values, all_finite(values)

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


def all_finite(tensors) -> tf.Tensor:
    """Whether no number in any of them is NaN or infinite: a boolean scalar.

    Between replicas, of values that all of them share.
    """
    if tf.distribute.in_cross_replica_context():
        strategy = tf.distribute.get_strategy()
        finite = strategy.run(all_finite, args=(list(tensors),))
        return strategy.experimental_local_results(finite)[0]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])


def loss_scale(optimizer) -> float | None:
    """The present loss scale; None where the optimizer has none."""
    for name in ("dynamic_scale", "loss_scale"):  # Keras 3, Keras 2.15
        if hasattr(optimizer, name):
            return getattr(optimizer, name)
    return None


def state_of_scaled(optimizer) -> list:
    """What an optimizer of `loss_scaled` remembers of updates; its scale is none of that."""
    variables = optimizer.inner_optimizer.variables
    return list(variables() if callable(variables) else variables)


def state(optimizer, variables) -> dict:
    """All that an optimizer remembers, under names that are the same on all versions.

    Returns {name: a tf.Variable, or a list with one for each of `variables`}: the same `variables`
    as it was built with.
    """
    inner = _inner(optimizer)
    named = {"iterations": tensorflow_variable(inner.iterations)}
    for name, attribute, slot in _REMEMBERED:
        if _is_legacy(optimizer):
            # Lookahead wraps another one, which has slots of its own.
            holders = [inner, getattr(inner, "_optimizer", inner)]
            holder = next((h for h in holders if slot in h.get_slot_names()), None)
            values = [holder.get_slot(v, slot) for v in variables] if holder else []
        else:
            values = getattr(inner, attribute, [])
        if values:
            named[name] = [tensorflow_variable(value) for value in values]
    if loss_scale(optimizer) is not None:
        named |= _state_of_scale(optimizer)
    return named


def _state_of_scale(optimizer) -> dict:
    if IS_KERAS_3:
        scale, steps = optimizer.dynamic_scale, optimizer.step_counter
    else:
        scale, steps = optimizer._loss_scale._current_loss_scale, optimizer._loss_scale._counter
    return {
        "loss_scale": tensorflow_variable(scale),
        "steps_at_scale": tensorflow_variable(steps),
    }


def tensorflow_variable(variable) -> tf.Variable:
    """The tf.Variable of a Keras variable, which in Keras 2 is one."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def path_of(variable) -> str:
    """A name that no other variable of the model has."""
    return getattr(variable, "path", variable.name)  # Keras 3, Keras 2


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)


def _is_legacy(optimizer) -> bool:
    return not IS_KERAS_3 and isinstance(_inner(optimizer), keras.optimizers.legacy.Optimizer)

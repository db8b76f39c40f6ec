"""The few layers that the networks share.

Tensors are [B, H, W, C]. Under a mixed precision policy the layers compute in the policy's type;
batch statistics are float32 always.
"""

import contextlib
import contextvars
from typing import NamedTuple

import keras
import tensorflow as tf

from dmenet_tf.networks.float16 import FLOAT16_SCALE, Convolution, is_small, one, scale_of

LEAKY_SLOPE = 0.2
# Keeps a constant channel from dividing by zero; the published networks' value.
BATCH_NORM_EPSILON = 1e-5
MIN_CHANNELS = 4


def scaled(channels, width):
    """`channels * width`, rounded, and at least 4: a thinner layer hardly carries a signal."""
    if not width > 0:
        raise ValueError(f"width must be positive; received {width}")
    return max(MIN_CHANNELS, round(channels * width))


def own_name(variable) -> str:
    """A variable's name within its layer: "kernel" in Keras 3, "conv1_1/kernel:0" in Keras 2."""
    return variable.name.split("/")[-1].split(":")[0]


@keras.saving.register_keras_serializable(package="dmenet_tf")
class SymmetricPadding2D(keras.layers.Layer):
    """Pads height and width by one pixel on each side by repeating the edge pixel.

    [B, H, W, C] -> [B, H + 2, W + 2, C]. Zeros would put a dark, perfectly sharp frame around
    every photo. Runs, with its gradient, eagerly, in a graph and under XLA.
    """

    def call(self, x):
        return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        padded = (None if size is None else size + 2 for size in (height, width))
        return (batch, *padded, channels)


@keras.saving.register_keras_serializable(package="dmenet_tf")
class RequireSizeMultiple(keras.layers.Layer):
    """Passes its input on; raises where height or width is no multiple of `multiple`.

    A size known when the layer is called gives a ValueError, one known only when the graph runs
    an InvalidArgumentError (XLA leaves that check out).
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x):
        rule = f"height and width must be multiples of {self.multiple}"
        height, width = x.shape[1:3]
        if any(size is not None and size % self.multiple for size in (height, width)):
            raise ValueError(f"{rule}; received {height} x {width}")
        if height is None or width is None:
            size = tf.shape(x)[1:3]
            fits = tf.reduce_all(size % self.multiple == 0)
            with tf.control_dependencies([tf.debugging.Assert(fits, [f"{rule}; received", size])]):
                x = tf.identity(x)
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


class Group(NamedTuple):
    """Neighbouring images of a batch that `BatchNorm` in training normalises by themselves.

    followers: {layer name: (mean, variance)}, the variables that follow the group's statistics;
        of a layer that is not named, nothing follows them. None: the layer's own moving statistics.
    """

    size: int | tf.Tensor
    followers: dict | None = None


_groups = contextvars.ContextVar("groups", default=(Group(-1),))


@contextlib.contextmanager
def batch_of_groups(groups):
    """Within it, `BatchNorm` in training takes a batch for several, one group after another.

    groups: `Group`s, whose sizes add up to the batch. Read when a layer is called, which in a
    tf.function is when it is traced.
    """
    token = _groups.set(tuple(groups))
    try:
        yield
    finally:
        _groups.reset(token)


def groups_in_force() -> tuple[Group, ...]:
    """Those of the innermost `batch_of_groups`; outside of any, one of the whole batch."""
    return _groups.get()


def moving_statistics_into(followers):
    """Within it, a whole batch is one group, which `followers` follow: see `Group`."""
    return batch_of_groups([Group(-1, followers)])


def moving_statistics_kept():
    """Within it, `BatchNorm` in training normalises by its batch and nothing follows that batch."""
    return moving_statistics_into({})


class Move(NamedTuple):
    """What moves a moving statistic: that of a batch, by the share 1 - momentum.

    finite_only: a batch that overflowed moves nothing, since what is not finite would stay.
    """

    variable: tf.Variable
    value: tf.Tensor
    momentum: float
    finite_only: bool = False

    def towards(self, variable, value) -> None:
        """Moves `variable` towards `value`, which may be its copy on a device and a mean."""
        moved = variable * self.momentum + value * (1.0 - self.momentum)
        if self.finite_only:
            finite = tf.reduce_all(tf.math.is_finite(moved))
            moved = tf.where(finite, moved, tf.convert_to_tensor(variable))
        variable.assign(moved)


_postponed = contextvars.ContextVar("postponed", default=None)


@contextlib.contextmanager
def moving_statistics_postponed():
    """Within it, nothing follows a batch; it gives the list of `Move`s that are left to be made."""
    moves = []
    token = _postponed.set(moves)
    try:
        yield moves
    finally:
        _postponed.reset(token)


@keras.saving.register_keras_serializable(package="dmenet_tf")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation with an offset and no scale, through TensorFlow's fused operation.

    Keras 3 composes it from elementwise operations, and in float32 under mixed precision: about
    three times the time and, in half precision, twice the memory. The moving variance takes the
    unbiased batch variance, as the fused operation has always done.
    """

    def __init__(self, small=False, **kwargs):
        super().__init__(
            **{"scale": False, "epsilon": BATCH_NORM_EPSILON, "momentum": 0.9, **kwargs}
        )
        self.small, self.factor = small, one

    def get_config(self):
        return {**super().get_config(), "small": self.small}

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            mean, variance = map(tf.convert_to_tensor, (self.moving_mean, self.moving_variance))
            if is_small(self):
                scale = scale_of(self)
                mean, variance = mean * scale, variance * scale**2
            return self._normalise(inputs, mean, variance, is_training=False).y
        groups = _groups.get()
        # The operation takes each group's own statistics, and wants those given to be empty.
        outputs = [self._normalise(part, [], []) for part in _split(inputs, groups)]
        self._follow(groups, outputs)
        return outputs[0].y if len(groups) == 1 else tf.concat([o.y for o in outputs], axis=0)

    def _normalise(self, inputs, mean, variance, is_training=True):
        offset = tf.convert_to_tensor(self.beta)
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.ones_like(offset),
            offset=offset,
            mean=mean,
            variance=variance,
            # A number by which no strong feature is changed.
            epsilon=self.epsilon * (FLOAT16_SCALE**2 if is_small(self) else 1.0),
            is_training=is_training,
        )

    def _follow(self, groups, outputs):
        """Moves what follows each group towards its statistics, in the order of the groups."""
        postponed, small = _postponed.get(), is_small(self)
        for group, output in zip(groups, outputs, strict=True):
            followers = self.moving_mean, self.moving_variance
            if group.followers is not None:
                followers = group.followers.get(self.name, ())
            batch = output.batch_mean, output.batch_variance
            if small:
                scale = scale_of(self)
                batch = output.batch_mean / scale, output.batch_variance / scale**2
            for moving, value in zip(followers, batch, strict=False):
                move = Move(moving, value, self.momentum, self.compute_dtype == "float16")
                if postponed is None:
                    move.towards(moving, value)
                else:
                    postponed.append(move)


def _split(inputs, groups):
    """The images of each group. Parts along the first axis share the memory of the whole."""
    if len(groups) == 1:
        return [inputs]
    sizes = [group.size for group in groups]
    return tf.split(inputs, len(groups) if len(set(sizes)) == 1 else sizes)


_to_be_loaded = contextvars.ContextVar("to_be_loaded", default=False)


@contextlib.contextmanager
def to_be_loaded():
    """Networks built within it start at zero: random numbers take longer than reading weights."""
    token = _to_be_loaded.set(True)
    try:
        yield
    finally:
        _to_be_loaded.reset(token)


def convolution(x, channels, name, kernel_size=3, **kwargs):
    """`kernel_size` 3: padded symmetrically; 1: needs no padding. Size in = size out.

    Further arguments as of `Convolution`.
    """
    if kernel_size == 3:
        x = SymmetricPadding2D(name=f"{name}_pad")(x)
    kwargs.setdefault("kernel_initializer", "he_normal")
    if _to_be_loaded.get():
        kwargs["kernel_initializer"] = "zeros"
    return Convolution(channels, kernel_size, name=name, **kwargs)(x)


def normalised(x, name, small=False):
    """Batch normalisation called `name`, then leaky ReLU of slope 0.2. small: what `x` is."""
    x = BatchNorm(name=name, small=small)(x)
    # By position: Keras 2 and 3 name this argument differently.
    return keras.layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_leaky")(x)

"""The few layers that the networks share.

Tensors are [B, H, W, C]. Under a mixed precision policy the layers compute in the policy's type;
batch statistics are float32 always.
"""

import contextlib
import contextvars
from typing import NamedTuple

import keras
import tensorflow as tf

LEAKY_SLOPE = 0.2
# Keeps a constant channel from dividing by zero; the published networks' value.
BATCH_NORM_EPSILON = 1e-5
MIN_CHANNELS = 4
# In float16, VGG19's features go beyond its largest number, 65504. They and what is made of them
# are computed `small`: so many times the true values, which ReLU and pooling let through and the
# next batch normalisation takes out. A power of 2: nothing is rounded by it.
FLOAT16_SCALE = 2.0**-8
# Where they grow beyond this strength, as random weights let them, they are scaled down further.
FLOAT16_STRENGTH = 2.0**12


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


def scale_of(layer):
    """How many times the true values those of a layer are: other than 1 for `small` in float16.

    A number, or where the strength of the features is followed a float32 scalar.
    """
    if not (layer.small and layer.compute_dtype == "float16"):
        return 1.0
    return FLOAT16_SCALE * layer.factor()


def one() -> float:
    """The `factor` of features whose strength is not followed."""
    return 1.0


def weakening(batch_norm):
    """A `factor` by the moving statistics of what is made of those features: a power of 2, <= 1."""

    def factor():
        mean, variance = (
            tf.cast(tf.convert_to_tensor(value), tf.float32)
            for value in (batch_norm.moving_mean, batch_norm.moving_variance)
        )
        strength = tf.sqrt(tf.reduce_max(tf.square(mean) + variance))
        over = tf.math.log(strength / FLOAT16_STRENGTH) / tf.math.log(2.0)
        return tf.stop_gradient(tf.pow(2.0, -tf.maximum(tf.math.ceil(over), 0.0)))

    return factor


@keras.saving.register_keras_serializable(package="dmenet_tf")
class Convolution(keras.layers.Conv2D):
    """Keras's; in float16, one with `small` output gives `scale_of` times the true values.

    Then its input is small, too, but for the first `ordinary` channels. `factor` is of the output,
    `input_factors` are (channels, factor) of what follows the ordinary ones; callables without
    arguments, which may be set once the network is built.
    """

    def __init__(self, filters, kernel_size, small=False, ordinary=0, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.small, self.ordinary = small, ordinary
        self.factor, self.input_factors = one, None

    def get_config(self):
        return {**super().get_config(), "small": self.small, "ordinary": self.ordinary}

    def call(self, inputs):
        if not (self.small and self.compute_dtype == "float16"):
            return super().call(inputs)
        kernel, bias = (
            tf.cast(tf.convert_to_tensor(v), tf.float16) for v in (self.kernel, self.bias)
        )
        scale = scale_of(self)
        # Not the kernel: its gradient would be as many times larger, and overflow.
        outputs = tf.nn.conv2d(self._scaled(inputs, scale), kernel, 1, "VALID")
        return self.activation(_with_small_bias(outputs, bias, scale))

    def _scaled(self, inputs, scale):
        """The input, as many times the true one as the output."""
        following = self.input_factors() if self.input_factors else ()
        if not (self.ordinary or following):
            return inputs
        parts = [(self.ordinary, scale)]
        parts += [(channels, self.factor() / own()) for channels, own in following]
        left = inputs.shape[-1] - sum(channels for channels, _ in parts)
        scales = [tf.fill([channels], tf.cast(s, tf.float32)) for channels, s in parts]
        return inputs * tf.cast(tf.concat([*scales, tf.ones([left])], axis=0), tf.float16)


def _with_small_bias(x, bias, scale):
    """x + scale * bias. The bias's gradient, a sum over all pixels, is taken in float32.

    Where values are small, gradients are as many times larger: their sum may be beyond float16,
    and scaled it is not.
    """

    @tf.custom_gradient
    def add(x, bias):
        def gradient(upstream):
            summed = tf.reduce_sum(tf.cast(upstream, tf.float32), axis=[0, 1, 2])
            return upstream, tf.cast(summed * scale, bias.dtype)

        return tf.nn.bias_add(x, tf.cast(tf.cast(bias, tf.float32) * scale, bias.dtype)), gradient

    return add(x, bias)


@keras.saving.register_keras_serializable(package="dmenet_tf")
class TrueValues(keras.layers.Layer):
    """What `small` layers gave, float32 and as large as it is."""

    def __init__(self, small=True, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.small = small

    def get_config(self):
        return {**super().get_config(), "small": self.small}

    def call(self, x):
        scale = FLOAT16_SCALE if self.small and x.dtype == tf.float16 else 1.0
        return tf.cast(x, tf.float32) / scale

    def compute_output_shape(self, input_shape):
        return input_shape


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
            scale = scale_of(self)
            moving = mean * scale, variance * scale**2
            return self._normalise(inputs, *moving, is_training=False).y
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
            epsilon=self.epsilon * (FLOAT16_SCALE**2 if self._is_small() else 1.0),
            is_training=is_training,
        )

    def _is_small(self):
        return self.small and self.compute_dtype == "float16"

    def _follow(self, groups, outputs):
        """Moves what follows each group towards its statistics, in the order of the groups."""
        postponed, scale = _postponed.get(), scale_of(self)
        for group, output in zip(groups, outputs, strict=True):
            followers = self.moving_mean, self.moving_variance
            if group.followers is not None:
                followers = group.followers.get(self.name, ())
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

"""What is kept beside B's weights while it trains: their average, and the other statistics.

Batch normalisation follows two domains, and inference can normalise by the moving statistics of
one: the model holds those of `NetworkConfig.statistics`, `Statistics` the other domain's. The two
differ enough to decide on whether a map of a photo is good.
"""

import contextlib

import tensorflow as tf

from dmenet_tf.networks.layers import BatchNorm


def batch_norms(model) -> list[BatchNorm]:
    return [layer for layer in model.layers if isinstance(layer, BatchNorm)]


class Statistics(tf.Module):
    """Moving statistics of another domain for each batch normalisation of a model."""

    def __init__(self, model):
        super().__init__()
        layers = batch_norms(model)
        self.means = [_copy(layer.moving_mean) for layer in layers]
        self.variances = [_copy(layer.moving_variance) for layer in layers]
        self._own = [(layer.moving_mean, layer.moving_variance) for layer in layers]
        self._names = [layer.name for layer in layers]

    def followers(self) -> dict:
        """{layer name: (mean, variance)}, for `layers.moving_statistics_into`."""
        pairs = zip(self.means, self.variances, strict=True)
        return dict(zip(self._names, pairs, strict=True))

    @contextlib.contextmanager
    def in_force(self):
        """Within it, the model normalises by these."""
        own = [variable for pair in self._own for variable in pair]
        these = [v for pair in zip(self.means, self.variances, strict=True) for v in pair]
        with _swapped(own, these):
            yield


class Average(tf.Module):
    """Exponential moving average of a model's weights and moving statistics.

    After step t the average moves by 1 - d towards the weights, d = min(decay, (1 + t) / (10 + t)):
    at first it forgets the random start quickly.

    Args:
        model: whose trainable weights and moving statistics are followed.
        decay: below 1.
        statistics: a second set of moving statistics, which is averaged likewise; or None.
    """

    def __init__(self, model, decay: float, statistics: Statistics | None = None):
        super().__init__()
        self._decay = decay
        self._followed = list(model.trainable_variables)
        for layer in batch_norms(model):
            self._followed += [layer.moving_mean, layer.moving_variance]
        if statistics is not None:
            self._followed += [*statistics.means, *statistics.variances]
        self.values = [_copy(variable) for variable in self._followed]

    def follow(self, step) -> None:
        """One update; `step`: how many were done before, an integer tensor."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self.values, self._followed, strict=True):
            average.assign_add((tf.convert_to_tensor(variable) - average) * (1.0 - decay))

    @contextlib.contextmanager
    def in_force(self):
        """Within it, the model has the average and not its own weights."""
        with _swapped(self._followed, self.values):
            yield

    def put_into_model(self) -> None:
        """Gives the model the average for good."""
        for average, variable in zip(self.values, self._followed, strict=True):
            variable.assign(average)


@contextlib.contextmanager
def _swapped(left, right):
    _swap(left, right)
    try:
        yield
    finally:
        _swap(left, right)


def _swap(left, right):
    for a, b in zip(left, right, strict=True):
        value = tf.identity(tf.convert_to_tensor(a))
        a.assign(tf.convert_to_tensor(b))
        b.assign(value)


def _copy(variable):
    return tf.Variable(tf.convert_to_tensor(variable), trainable=False)

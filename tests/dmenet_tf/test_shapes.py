"""The table of B's variables against the network that Keras builds."""

import pytest

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.layers import own_name
from dmenet_tf.networks.shapes import variable_shapes


@pytest.mark.parametrize("widths", [(1.0, 1.0), (0.0625, 0.25), (0.25, 0.03)], ids=str)
def test_equals_what_keras_builds(widths):
    built = {
        layer.name: {own_name(v): tuple(v.shape) for v in layer.weights}
        for layer in build_blur_estimation(*widths).layers
        if layer.weights
    }
    assert variable_shapes(*widths) == built

"""A narrower encoder keeps what the wider one's map rests on."""

import numpy as np
import pytest

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.blur_estimation import encoder_layers
from dmenet_tf.prediction.local import predict_defocus
from dmenet_tf.weights.load import TrainedModel
from dmenet_tf.weights.narrowing import narrow_encoder
from tests.support.lively import lively
from tests.support.pictures import photo
from tests.support.rounding import tolerance

WIDE, NARROW = 0.125, 0.0625


@pytest.fixture(scope="module")
def half_idle():
    """A model half of whose encoder's channels are zero for every photo."""
    model, rng = lively(build_blur_estimation(WIDE)), np.random.default_rng(0)
    for layer in encoder_layers(model):
        kernel, bias = layer.get_weights()
        idle = rng.permutation(bias.size)[: bias.size // 2]
        kernel[..., idle], bias[idle] = 0, 0
        layer.set_weights([kernel, bias])
    return TrainedModel(model, "paper", "wide", "0" * 12, "terms", 320, "photos")


def test_without_idle_channels_the_map_is_the_same(half_idle):
    narrow = narrow_encoder(half_idle, NARROW)
    sizes = [layer.filters for layer in encoder_layers(narrow.model)]
    assert sizes == [layer.filters // 2 for layer in encoder_layers(half_idle.model)]
    assert narrow.model.get_layer("level3_conv1").filters == round(256 * WIDE)
    image = photo(48, 64)
    expected = predict_defocus(half_idle.model, image[None] / np.float32(255))
    found = predict_defocus(narrow.model, image[None] / np.float32(255))
    assert expected.std() > 0.02
    # The same numbers are summed, in another order.
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance(half_idle.model, image, WIDE)
    )
    said = (narrow.encoding, narrow.licence, narrow.recommended_side, narrow.statistics)
    assert said == ("paper", "terms", 320, "photos") and narrow.identity != half_idle.identity


@pytest.mark.parametrize("width", [WIDE, 1.0])
def test_an_encoder_never_becomes_wider(half_idle, width):
    with pytest.raises(ValueError, match="only become narrower"):
        narrow_encoder(half_idle, width)

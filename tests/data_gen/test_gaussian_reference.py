"""The renderer's Gaussian blur against that of tensorflow-addons, which knows nothing of it."""

import warnings

import numpy as np
import pytest

from data_gen.rendering import compositing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is at its end of life
    addons = pytest.importorskip(
        "tensorflow_addons.image",
        reason="needs the extra [addons]: TensorFlow 2.15, `make older-stack`",
        exc_type=ImportError,
    )


@pytest.mark.parametrize("sigma_px", [0.3, 1.0, 2.5, 7.0])
def test_one_layer_is_blurred_as_tensorflow_addons_does(sigma_px):
    """The edge pixel repeated, and 29 taps an axis."""
    image = np.random.default_rng(0).random((40, 52, 3), np.float32)
    blurred = compositing.blend_layers(image, np.zeros((40, 52), np.int32), [sigma_px])
    theirs = addons.gaussian_filter2d(
        image, filter_shape=(29, 29), sigma=sigma_px, padding="SYMMETRIC"
    )
    # Sums of 29 + 29 products of numbers up to 1 in float32, in another order.
    np.testing.assert_allclose(blurred, theirs, atol=58 * np.finfo(np.float32).eps)

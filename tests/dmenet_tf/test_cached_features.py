"""Features computed once: windows that fit their labels, exact continuation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.blur_estimation import parts
from dmenet_tf.training.cached_features import CachedFeatures
from tests.support.training import make_batch, make_trainer

pytestmark = pytest.mark.process  # it trains


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_blur_estimation(0.0625)


@pytest.fixture(scope="module")
def crops():
    return [make_batch(seed, n=2, side=64) for seed in range(3)]


@pytest.fixture(scope="module")
def cache(model, crops):
    return CachedFeatures(parts(model).encoder, crops, 5)


def test_the_first_crops_are_kept(model, crops, cache):
    assert cache.labels["labelled"].shape == (5, 64, 64, 1)
    expected = parts(model).encoder(crops[2]["labelled"])
    for kept, new in zip(cache.features["labelled"], expected, strict=True):
        # float16 has 11 bits, and the last crop is the first of the third batch.
        np.testing.assert_allclose(kept[4], new[0], rtol=2**-11, atol=1e-4)
    np.testing.assert_allclose(cache.labels["synthetic"][4], crops[2]["defocus"][0], rtol=2**-11)


def test_a_window_is_the_same_place_in_features_and_label(cache):
    for batch in cache.batches((32,), 2, seed=0, start=0, steps=3):
        # 2 crops of 64 px have the pixels of 8 windows of 32.
        assert batch["defocus"].shape == (8, 32, 32, 1)
        sides = [f.shape[1] for f in batch["synthetic"]]
        assert sides == [32, 16, 8, 4, 2] and batch["synthetic"][0].dtype == tf.float32
        for feature, label in zip(batch["labelled"][4], batch["blurred"], strict=True):
            places = [
                (i, y, x)
                for i in range(5) for y in range(0, 33, 16) for x in range(0, 33, 16)
                if np.array_equal(cache.labels["labelled"][i, y : y + 32, x : x + 32], label)
            ]  # fmt: skip
            assert any(
                np.array_equal(
                    cache.features["labelled"][4][i, y >> 4 : (y >> 4) + 2, x >> 4 : (x >> 4) + 2],
                    feature,
                )
                for i, y, x in places
            )


def test_windows_grow_and_a_later_start_continues(cache):
    whole = list(cache.batches((16, 64), 1, seed=0, start=0, steps=4))
    assert [b["blurred"].shape[:2] for b in whole] == [(16, 16), (16, 16), (1, 64), (1, 64)]
    later = list(cache.batches((16, 64), 1, seed=0, start=1, steps=4))
    for a, b in zip(whole[1:], later, strict=True):
        np.testing.assert_array_equal(a["blurred"], b["blurred"])
        np.testing.assert_array_equal(a["synthetic"][2], b["synthetic"][2])


def test_a_step_on_features_is_a_step_on_images():
    image, feature = (make_trainer("BS", freeze_encoder=True) for _ in range(2))
    batch = make_batch(side=32)
    encoder = parts(feature.networks.blur_estimation).encoder
    features = {name: tuple(encoder(batch[name])) for name in ("synthetic", "labelled")}
    left, right = image.train_step(batch), feature.train_step(batch | features)
    assert set(left) == set(right)
    for name in left:
        assert float(left[name]) == pytest.approx(float(right[name]), rel=1e-4), name

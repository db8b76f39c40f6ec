"""What a run is judged by: figures on photos at the model's size, and the best threshold."""

import numpy as np
import pytest
import tensorflow as tf

from dmenet_tf.metrics import precision_recall
from dmenet_tf.training.validation import Validation, best_accuracy


def test_best_accuracy_by_hand():
    blurred = np.float32([[0, 0, 1, 1]])
    assert best_accuracy(np.float32([[0.1, 0.2, 0.3, 0.4]]), blurred) == 1.0
    # Sorted by the map: sharp, blurred, sharp, blurred. One of four is wrong at best.
    assert best_accuracy(np.float32([[0.1, 0.3, 0.2, 0.4]]), blurred) == 0.75
    # A constant map has two decisions only, all or nothing.
    assert best_accuracy(np.full((1, 4), 0.5, np.float32), np.float32([[0, 1, 1, 1]])) == 0.75


class Bright(tf.Module):
    """A model whose map is the red channel; remembers the size that it saw."""

    def __call__(self, images, training=False):
        self.seen = images.shape
        return {"defocus": images[..., :1]}


class Photos:
    def __init__(self, *pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def read(self, index):
        return self.pairs[index]


def two_halves(height=40, width=80):
    """A photo that is black and sharp on the left, white and blurred on the right."""
    blurred = np.zeros((height, width), np.float32)
    blurred[:, width // 2 :] = 1
    return np.uint8(blurred[..., None] * [255, 255, 255]), blurred


@pytest.mark.parametrize("side, seen", [(0, 80), (32, 32), (200, 80)])
def test_photos_are_seen_at_the_recommended_side(side, seen):
    model, maps = Bright(), np.zeros((1, 16, 16, 1), np.float32)
    validation = Validation(np.zeros((1, 16, 16, 3), np.float32), maps, Photos(two_halves()), side)
    figures = validation.measure(model, maps)
    assert model.seen[2] == seen  # 32 and 80 are multiples of 16
    assert figures["photo_ap"] == pytest.approx(1.0, abs=0.02)
    assert figures["photo_best"] == pytest.approx(1.0, abs=0.02)


def test_the_curve_is_of_all_photos_pixels():
    model, maps = Bright(), np.zeros((1, 16, 16, 1), np.float32)
    sharp = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.float32)
    images = np.zeros((1, 16, 16, 3), np.float32)
    validation = Validation(images, maps, Photos(two_halves(16, 32), sharp))
    assert set(validation.measure(model, maps)) == set(validation.names)
    assert validation.counts.blurred == 256 and validation.counts.called[0] == 512 + 256
    precision, recall = precision_recall(validation.counts)
    assert precision[0] == 1 / 3 and (recall[1:] == 1).all() and (precision[1:] == 1).all()
    # Of sharp photos alone, recall is not defined.
    validation = Validation(images, maps, Photos(sharp))
    validation.measure(model, maps)
    assert validation.counts is None


def test_the_ratio_to_the_best_constant_map():
    truth = np.float32([0, 1] * 128).reshape(1, 16, 16, 1)
    validation = Validation(np.zeros((1, 16, 16, 3), np.float32), truth)
    figures = validation.measure(None, np.full_like(truth, 0.5))
    assert figures["mse_ratio_to_constant"] == 1.0 and validation.counts is None


def test_what_the_best_checkpoint_is_best_in():
    validation = Validation(*np.zeros((2, 1, 16, 16, 1), np.float32))
    figures = {"mse": 0.1, "photo_accuracy": 0.8, "photo_ap": 0.9, "photo_best": 0.7}
    assert validation.error(figures, "mse") == 0.1
    assert validation.error(figures, "photos") == pytest.approx(0.2)

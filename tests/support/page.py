"""An estimator whose maps are known, and a port for a page."""

import socket
import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("grpc", reason="needs the extra demo")

from dmenet_tf import DefocusMap
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import Prediction, resolved_side, scale_to


class FakeEstimator:
    """A map that is known: sigma grows from left to right, and a little downwards."""

    def __init__(self, recommended_side=None, error=None):
        self.metadata = Metadata("fake", "paper", recommended_side=recommended_side)
        self.error, self.sides = error, []
        self.wait, self.called = None, threading.Event()

    def __call__(self, image, *, max_side=None):
        self.sides.append(max_side)
        if self.wait is not None:
            self.called.set()
            self.wait.wait()
        if self.error:
            raise self.error
        side = resolved_side(max_side, self.metadata)
        scale = scale_to(side, *image.shape[:2])
        metadata = replace(self.metadata, sigma_max_px=7.0 / scale, max_side=side)
        sigma_px = self.known(*image.shape[:2])
        return DefocusMap(image, Prediction(sigma_px, sigma_px / 7, metadata, scale))

    @staticmethod
    def known(height, width):
        column, row = np.linspace(0, 5, width), np.linspace(0, 1, height)
        return (column[None, :] + row[:, None]).astype(np.float32)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

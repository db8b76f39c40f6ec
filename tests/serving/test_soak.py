"""The embedded server at full load for a long time: memory stays, nothing fails.

    pytest -m soak -s                         20 minutes
    DMENET_SOAK_MINUTES=60 pytest -m soak -s  an hour

Eight clients ask without a pause, for both signatures and pictures of several sizes; loopback only.
DMENET_MODELS names a folder of models to serve instead of a small random one.
"""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.client import Client, ClientOptions, ServingError
from serving.exporting.publishing import publish
from tests.support.lively import lively
from tests.support.server_process import ServerProcess

MINUTES = float(os.environ.get("DMENET_SOAK_MINUTES", "20"))
CLIENTS = 8
MAX_CALLS = 1_000_000
SAMPLE_SECONDS = 2.0
SIZES = ((1, 1), (97, 131), (240, 320), (480, 640))
# Of the memory after the first fifth of the time, when all sizes have been met often. An array of
# one request of 480 x 640 that is never freed is more after a minute.
LARGEST_GROWTH = 0.05


def requests():
    import cv2

    rng = np.random.default_rng(0)
    for height, width in SIZES:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        yield contract.SIGNATURE_IMAGES, np.float32(pixels[None] / 255)
        for suffix in (".png", ".jpg"):
            yield contract.SIGNATURE_ENCODED, [cv2.imencode(suffix, pixels)[1].tobytes()]


class Load:
    """Clients that ask until they are told to stop; counts what they did."""

    def __init__(self, address):
        self.address, self.stopping = address, threading.Event()
        self.done, self.failures = [0] * CLIENTS, []
        self.threads = [threading.Thread(target=self._work, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _work(self, index):
        order = np.random.default_rng(index)
        asked = list(requests())
        with Client(self.address, ClientOptions(timeout_s=120, retry_s=0)) as client:
            while not self.stopping.is_set() and self.done[index] < MAX_CALLS:
                signature, value = asked[order.integers(len(asked))]
                try:
                    if signature == contract.SIGNATURE_IMAGES:
                        reply = client.predict_images(value)
                        assert reply[contract.SIGMA_PX].shape[:3] == value.shape[:3]
                    else:
                        (png,) = client.predict_encoded(value)[contract.SIGMA_PNG]
                        assert png.startswith(b"\x89PNG")
                except (ServingError, AssertionError) as error:
                    self.failures.append(repr(error))
                self.done[index] += 1


@pytest.mark.soak
def test_full_load_for_long(tmp_path):
    models = os.environ.get("DMENET_MODELS")
    if not models:
        models = tmp_path / "models"
        network = lively(build_blur_estimation(0.125))
        publish(TrainedModel(network, "paper", "random", "0" * 12), models / contract.MODEL_NAME)
    with ServerProcess(models) as server:
        process, sizes = psutil.Process(server.pid), []
        load = Load(server.address)
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            time.sleep(SAMPLE_SECONDS)
            sizes.append(process.memory_info().rss / 1e6)
            if len(sizes) % 30 == 0:
                print(f"{sum(load.done)} calls, {sizes[-1]:.0f} MB", file=sys.stderr, flush=True)
        load.stop()
    fifth = len(sizes) // 5
    early, late = np.median(sizes[fifth : 2 * fifth]), np.median(sizes[-fifth:])
    slope = np.polyfit(np.arange(len(sizes) - fifth) * SAMPLE_SECONDS / 3600, sizes[fifth:], 1)[0]
    print(
        f"{MINUTES:g} minutes, {CLIENTS} clients, {sum(load.done)} calls, {len(load.failures)} "
        f"failures; memory {early:.0f} MB early, {late:.0f} MB late ({slope:+.1f} MB an hour), "
        f"largest {max(sizes):.0f} MB; models {Path(models).name}"
    )
    assert not load.failures, load.failures[:3]
    assert sum(load.done) > 10 * MINUTES
    assert late < early * (1 + LARGEST_GROWTH)

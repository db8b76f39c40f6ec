"""The embedded server against the model alone, on the same cores, in one run.

    python -m tests.benchmarks.serving [--size 512] [--width 0.125] [--seconds 60]

The model alone is the exported SavedModel in a session of this process, fed by NumPy; the server is
a process of its own, asked through the client over loopback. The faster the model, the more a
server adds: the default is the demo's width, where a map takes tens of milliseconds.

- `p50_overhead`: one client. Calls alternate, alone and through the server; the median of the
  server's times over the median of the model's, minus 1. Of the worse signature: pixels
  (`p50_overhead_images`: 3 MB to the server, 1 MB back) or files (`p50_overhead_encoded`).
- `throughput_ratio_8_clients`: maps a second by 8 clients through the server, over those of the
  model alone, called from as many threads as gives most (1, 2 or 8). Rounds of both alternate; the
  median of the rounds' ratios; again of the worse signature.
- `failures`: calls that failed, of all.

Bounded in time and count; loopback only. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported

import cv2
import numpy as np

from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.client import Client, ClientOptions, ServingError
from serving.exporting.publishing import publish
from serving.saved_model.session import LoadedModel
from tests.support.lively import lively
from tests.support.server_process import ServerProcess

CLIENTS = 8
ROUND_SECONDS = 4.0
MAX_CALLS = 20_000
WARM_CALLS = 5


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        model = TrainedModel(lively(build_blur_estimation(options.width)), "paper", "random", "0")
        version = publish(model, Path(folder) / contract.MODEL_NAME)
        with LoadedModel(version) as alone, ServerProcess(folder) as server:
            client = Client(server.address, ClientOptions(timeout_s=60))
            figures = {"size": options.size, "width": options.width}
            failures = [0]
            overheads, ratios = [], []
            for name, value in requests(options.size).items():
                inputs = dict.fromkeys(contract.INPUTS[name], value)
                calls = (
                    partial(alone.signature(name).run, inputs),
                    lambda name=name, value=value: ask(client, name, value, failures),
                )
                figure = latency(*calls, options.seconds / 4)
                print(f"{name}: one client, p50 {figure}")
                overheads.append(figure["overhead"])
                rates = throughput(*calls, options.seconds / 4)
                print(f"{name}: {CLIENTS} clients, maps a second {rates}")
                ratios.append(rates["ratio"])
                short = "images" if name == contract.SIGNATURE_IMAGES else "encoded"
                figures[f"p50_overhead_{short}"] = figure["overhead"]
                figures[f"throughput_ratio_{short}"] = rates["ratio"]
            client.close()
    figures |= {
        "p50_overhead": max(overheads),
        "throughput_ratio_8_clients": min(ratios),
        "failures": failures[0],
    }
    print(json.dumps(figures))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="side of the picture, pixels")
    parser.add_argument("--width", type=float, default=0.125, help="of the network")
    parser.add_argument("--seconds", type=float, default=120, help="of measuring in all")
    return parser.parse_args()


def requests(size: int) -> dict:
    """The value of each signature's input: a picture with something to compress."""
    rng = np.random.default_rng(0)
    coarse = rng.random((size // 16 + 1, size // 16 + 1, 3), np.float32)
    pixels = cv2.resize(coarse, (size, size)) + rng.normal(0, 0.03, (size, size, 3))
    pixels = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    return {
        contract.SIGNATURE_IMAGES: np.float32(pixels[None] / 255),
        contract.SIGNATURE_ENCODED: [cv2.imencode(".png", pixels)[1].tobytes()],
    }


def ask(client: Client, name: str, value, failures: list) -> None:
    predict = client.predict_images if name == contract.SIGNATURE_IMAGES else client.predict_encoded
    try:
        predict(value)
    except ServingError as error:
        failures[0] += 1
        print(f"failed: {error}", file=sys.stderr)


def latency(alone, served, seconds: float) -> dict:
    """Calls in turn, so that other work on the machine slows both alike."""
    times = {alone: [], served: []}
    for call in times:
        for _ in range(WARM_CALLS):
            call()
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(times[alone]) < MAX_CALLS:
        for call, values in times.items():
            start = time.perf_counter()
            call()
            values.append(time.perf_counter() - start)
    p50 = {call: float(np.median(values)) for call, values in times.items()}
    return {
        "alone_ms": round(1e3 * p50[alone], 2),
        "served_ms": round(1e3 * p50[served], 2),
        "overhead": round(p50[served] / p50[alone] - 1, 4),
        "calls": len(times[alone]),
    }


def throughput(alone, served, seconds: float) -> dict:
    rates = {threads: rate(alone, threads, ROUND_SECONDS / 2) for threads in (1, 2, CLIENTS)}
    best = max(rates, key=rates.get)
    rounds = max(2, round(seconds / (2 * ROUND_SECONDS)))
    pairs = [
        (rate(alone, best, ROUND_SECONDS), rate(served, CLIENTS, ROUND_SECONDS))
        for _ in range(rounds)
    ]
    return {
        "alone": round(float(np.median([a for a, _ in pairs])), 2),
        "alone_threads": best,
        "served": round(float(np.median([s for _, s in pairs])), 2),
        "ratio": round(float(np.median([s / a for a, s in pairs])), 4),
    }


def rate(call, threads: int, seconds: float) -> float:
    """Calls a second, from several threads; those that end later count with their time."""
    done, start = [0] * threads, time.perf_counter()

    def work(index):
        while time.perf_counter() - start < seconds and done[index] < MAX_CALLS:
            call()
            done[index] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()

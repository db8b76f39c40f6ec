"""Time of a map by each shipped model, on this machine: one line of JSON.

python -m tests.benchmarks.shipped [--rounds 10]

Each round maps the same photo by each of them, so that other work on the machine slows all alike.
`first_s`: the first map, operation by operation; `map_s`: the median of later ones, by a graph;
`relative`: the median over rounds of the time against the default model's.
"""

import argparse
import json
import os
import statistics
import time

from dmenet_tf.environment import prepare
from dmenet_tf.weights.shipped import NAMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    prepare()
    backends, seconds = {}, {name: [] for name in NAMES}
    from dmenet_tf.prediction import local

    for name, path in NAMES.items():
        backends[name] = local.LocalBackend(path)
    for _ in range(local.GRAPH_AFTER + 1 + rounds):
        for name, backend in backends.items():
            seconds[name].append(timed(backend))
    default = next(iter(NAMES))
    results = {}
    for name, path in NAMES.items():
        later = seconds[name][-rounds:]
        ratios = [mine / its for mine, its in zip(later, seconds[default][-rounds:], strict=True)]
        results[name] = {
            "mib": round(path.stat().st_size / 2**20, 1),
            "side_px": backends[name].metadata.recommended_side,
            "first_s": round(seconds[name][0], 3),
            "map_s": round(statistics.median(later), 3),
            "relative": round(statistics.median(ratios), 3),
        }
    print(json.dumps({"cores": os.cpu_count(), **results}))


def timed(backend) -> float:
    """Seconds of a map of a photo of the recommended size, sides about 4 : 3."""
    import numpy as np

    side = backend.metadata.recommended_side
    photo = np.random.default_rng(0).integers(0, 256, (side * 3 // 64 * 16, side, 3), np.uint8)
    started = time.monotonic()
    backend.labels(photo)
    return time.monotonic() - started


if __name__ == "__main__":
    main()

"""What one forward of B per step saves, and what the input pipeline costs, in one run.

    python -m tests.benchmarks.train_step

`step_vs_two_passes`: time of the step over that of two separate passes through B (below 1 is
faster). `input_vs_step`: time to make a batch, each example rendered anew, over the time of a step,
both on all cores. The last line is one JSON object.
"""

import json
import os
import time
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.presets import PRESETS
from dmenet_tf.training.trainer import REAL, Trainer, build_networks

ROUNDS = 8
BATCHES = 24


def main():
    config = PRESETS["demo"].config
    data = replace(config.data, fixed_examples=0)  # every example rendered anew
    streams = sources.open_streams(data, 0)
    batches = iter(datasets.training_batches(streams, data, 0))
    trainer = Trainer(build_networks(config.network), config.loss, config.training, 1000)
    batch = next(batches)

    @tf.function
    def another_forward(batch):
        outputs = [
            trainer.networks.blur_estimation(batch[name], training=True)
            for name in ("synthetic", *REAL)
        ]
        return [o["feature"][0, 0, 0, 0] for o in outputs]

    steps, extra = [], []
    for measured in range(-1, ROUNDS):
        times = [
            seconds(lambda: trainer.train_step(batch)["L_g"].numpy()),
            seconds(lambda: [value.numpy() for value in another_forward(batch)]),
        ]
        if measured >= 0:  # the first round traces the graphs
            for store, value in zip((steps, extra), times, strict=True):
                store.append(value)
    # In a row: between steps a batch would be waiting already, made beside the step.
    making = seconds(lambda: [next(batches) for _ in range(BATCHES)]) / BATCHES
    step, forward = np.median(steps), np.median(extra)
    print(
        json.dumps(
            {
                "step_s": round(float(step), 4),
                "images_per_s": round(3 * config.data.batch / float(step), 2),
                "step_vs_two_passes": round(float(step / (step + forward)), 3),
                "input_vs_step": round(float(making / step), 3),
            }
        )
    )


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

"""The same steps of the demo by several types: how far their losses end apart."""

from dataclasses import replace

import keras
import numpy as np

from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.iteration import Elements
from dmenet_tf.presets import PRESETS
from dmenet_tf.training import precision
from dmenet_tf.training.trainer import Trainer, build_networks

DIFFERENT_BATCHES = 25


def demo_batches(count: int = DIFFERENT_BATCHES) -> list[dict]:
    data = replace(PRESETS["demo"].config.data, fixed_examples=0)
    streams = sources.open_streams(data, 0)
    with Elements(datasets.training_batches(streams, data, 0).take(count)) as batches:
        return list(batches)


def losses_of_the_demo(kind: str, batches: list[dict], steps: int) -> dict[str, float]:
    """Means of L_g and of the map's loss over all steps, in which all networks learn.

    From the same weights and on the same batches, in turn, whatever the `kind` of precision. Over
    all steps, since training magnifies rounding: the last quarter's mean of L_g once ended 13%
    apart in two runs of the same type, whose sums were in another order.
    """
    config = PRESETS["demo"].config
    precision.set_up(kind)
    keras.utils.set_random_seed(0)
    training = replace(config.training, precision=kind)
    trainer = Trainer(build_networks(config.network), config.loss, training, 1000)
    reports = [trainer.train_step(batches[step % len(batches)]) for step in range(steps)]
    return {
        name: float(np.mean([float(report[name]) for report in reports]))
        for name in ("L_g", "defocus")
    }


def relative_to(exact: dict[str, float], losses: dict[str, float]) -> dict[str, float]:
    return {name: value / exact[name] - 1.0 for name, value in losses.items()}

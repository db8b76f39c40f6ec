"""A run that was interrupted and resumed, as `training.monitoring` logs it."""

import numpy as np
import tensorflow as tf

from dmenet_tf.metrics import threshold_counts
from dmenet_tf.training.monitoring import Monitor

RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 24, 40, 3), np.float32)
PREDICTED = RNG.random((2, 24, 40, 1), np.float32)
TRUTH = RNG.random((2, 24, 40), np.float32)
COUNTS = threshold_counts(np.float32([0.2, 0.6, 0.8, 0.9]), np.float32([0, 1, 0, 1]), 2)
WEIGHTS = {"data": 1.0, "content": 1e-4, "discriminator": 1.0}


def log(monitor, step, offset=0.0):
    """One step whose figures tell the step and the start that wrote it."""
    losses = {"data": step + offset, "content": 100.0, "discriminator": tf.constant(0.7)}
    totals = {"L_g": step + offset + 0.01, "L_d": 0.7}
    extras = {"discriminator_accuracy": 0.5, "loss_scale": 32768.0}
    monitor.log_step(
        step, losses, WEIGHTS, totals, learning_rate=1e-4, images_per_second=9.0, extras=extras
    )


def interrupt_and_resume(run_dir, between=lambda: None):
    """Six steps, killed while writing; resumed from a checkpoint of step 4 up to step 8."""
    with Monitor(run_dir, total_steps=8, console=False) as monitor:
        monitor.log_config("[optics]\nc_max_px = 28.0\n```\n# not a title")
        monitor.log_settings(settings(8), ["mse"])
        monitor.log_histograms(2, {"B/kernel": np.arange(6.0).reshape(2, 3)})
        monitor.log_precision_recall(3, COUNTS)
        for step in range(1, 7):
            log(monitor, step)
            if step in (3, 6):
                monitor.log_validation(step, {"mse": step / 100})
        monitor.log_images(6, IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
    between()
    for path in (*run_dir.glob("*tfevents*"), run_dir / "losses.jsonl"):
        content = path.read_bytes()
        path.write_bytes(content + content[-60:-20])  # a record that has no end
    with Monitor(run_dir, total_steps=8, start_step=4, console=False) as monitor:
        monitor.log_settings(settings(9), ["mse"])
        for step in range(5, 9):
            log(monitor, step, offset=0.5)
            if step == 6:
                monitor.log_validation(step, {"mse": 0.5})
                monitor.log_images(step, IMAGE, PREDICTED, TRUTH, sharpness=PREDICTED)
        monitor.log_end()


def settings(steps):
    return {"training": {"steps": steps, "jit": "auto", "windows": [32, 64], "name": None}}

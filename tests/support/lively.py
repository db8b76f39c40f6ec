"""Networks for tests: random, but with maps that use their range: agreement then says something."""

import numpy as np


def lively(model, seed=0):
    """Random weights and statistics, and a last layer strong enough for maps that use their range.

    None of Keras's own initial weights: those differ with what was built before.
    """
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        kind = variable.name.split("/")[-1].split(":")[0]
        if kind == "kernel":
            variable.assign(
                rng.normal(0, (2 / np.prod(variable.shape[:-1])) ** 0.5, variable.shape)
            )
        if kind in ("moving_mean", "beta"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        if kind == "moving_variance":
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
    kernel = model.get_layer("final_conv3").kernel
    kernel.assign(rng.normal(0, 0.05, kernel.shape))
    return model

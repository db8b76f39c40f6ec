"""Steps of two replicas on logical CPUs beside those of one device; run as a program.

    python -m tests.support.two_replicas OUT.npz compared|overflowing|several_a_call

A program of its own, because devices are divided before TensorFlow computes anything. The one
device normalises in the groups that the replicas are; a second time it begins with weights that are
a bit apart, which shows how far rounding carries. It shares nothing with `distribution.py`,
except that both learn from `moving_statistics_postponed` what moves the statistics.
"""

import sys
from dataclasses import replace
from unittest import mock

import numpy as np
import tensorflow as tf

from dmenet_tf.networks import layers
from dmenet_tf.training import domains
from dmenet_tf.training.distribution import Group
from tests.support.training import TRAINING, make_batch, make_trainer

REPLICAS, STEPS, IMAGES = 2, 3, 4


def divided(batch: dict) -> tuple[dict, ...]:
    return tuple({k: v[r::REPLICAS] for k, v in batch.items()} for r in range(REPLICAS))


def in_order_of_replicas(batch: dict) -> dict:
    parts = divided(batch)
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in batch}


def groups_of_replicas(groups):
    """Each group as one of each replica, what follows it the same."""
    return layers.batch_of_groups(
        [
            layers.Group(group.size // REPLICAS, group.followers)
            for group in groups
            for _ in range(REPLICAS)
        ]
    )


class OneDevice:
    """A trainer's step on the whole batch, in the replicas' groups."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.step = tf.function(self._step, autograph=False)

    def _step(self, batch):
        size = batch["defocus"].shape[0] // REPLICAS
        with (
            mock.patch.object(domains, "batch_of_groups", groups_of_replicas),
            layers.batch_of_groups([layers.Group(size)] * REPLICAS),  # S, of one domain
            layers.moving_statistics_postponed() as moves,
        ):
            report = self.trainer._train_step(batch)
        values = {}
        for move in moves:
            values.setdefault(id(move.variable), (move, []))[1].append(move.value)
        for move, of_groups in values.values():
            for first in range(0, len(of_groups), REPLICAS):
                mean = tf.add_n(of_groups[first : first + REPLICAS]) / REPLICAS
                move.variable.assign(move.variable * move.momentum + mean * (1.0 - move.momentum))
        self.trainer._end_step()
        return report


def variables_of(trainer) -> dict:
    """All that a checkpoint holds, by what it is."""
    found = {"step": trainer.step}
    for name, model in trainer.networks._asdict().items():
        if model is not None:
            found |= {f"{name}/{v.path}": v for v in model.weights}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = getattr(trainer, name)
        if optimizer is not None:
            # By number, since Keras gives the second optimizer of a process another name.
            for i, v in enumerate(optimizer.variables):
                found[f"{name}/{i}/{v.path.rpartition('/')[2]}"] = v
    for name in ("average", "other_statistics"):
        kept = getattr(trainer, name)
        if kept is not None:
            found |= {f"{name}/{i}": v for i, v in enumerate(kept.variables)}
    return found


def state(trainer) -> dict[str, np.ndarray]:
    return {k: tf.convert_to_tensor(v).numpy() for k, v in variables_of(trainer).items()}


def begin(trainer, values: dict) -> None:
    """Gives a trainer the state of another one."""
    for name, variable in variables_of(trainer).items():
        variable.assign(values[name])


def begin_rounded(trainer, start: dict) -> None:
    """Takes a trainer back to its start, but for each weight's last bit."""
    rng, values = np.random.default_rng(0), dict(start)
    for name, value in start.items():
        if name.endswith(("kernel", "bias")):
            towards = np.where(rng.random(value.shape) < 0.5, -np.inf, np.inf)
            values[name] = np.nextafter(value, towards.astype(np.float32))
    begin(trainer, values)


def differing(strategy, trainer) -> int:
    """How many variables are not the same bits on all devices."""
    variables = [v.value for model in trainer.networks if model is not None for v in model.weights]
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        variables += [v.value for v in optimizer.variables] if optimizer is not None else []
    variables += [*trainer.other_statistics.variables, trainer.step]
    copies = [strategy.experimental_local_results(v) for v in variables]
    assert all(len(each) == REPLICAS for each in copies)
    return sum(any((np.array(c) != np.array(each[0])).any() for c in each) for each in copies)


def compared(strategy) -> dict:
    training = replace(TRAINING, average=0.9, learning_rate=0.03)
    one = OneDevice(make_trainer("BDS", training=training))
    with strategy.scope():
        two = make_trainer("BDS", training=training)
    for trainer in (one.trainer, two):
        # By default Adam's steps are as long for a gradient that is rounding noise.
        trainer.generator_optimizer.epsilon = trainer.discriminator_optimizer.epsilon = 1.0
    start = state(one.trainer)
    found = {"alike": _same(start, state(two))} | {f"start/{k}": v for k, v in start.items()}
    found |= followed("two", two, lambda batch: two.train_step(divided(batch)))
    found["differing"] = differing(strategy, two)

    def in_groups(batch):
        return one.step(in_order_of_replicas(batch))

    found |= followed("one", one.trainer, in_groups)
    # The same steps again, each from the state that the replicas had before it.
    states = [of_step(found, number, "two") for number in range(STEPS - 1)]
    found |= followed("again", one.trainer, in_groups, [start, *states])
    begin_rounded(one.trainer, start)
    return found | followed("rounded", one.trainer, in_groups)


def of_step(found: dict, number: int, name: str) -> dict:
    prefix = f"{number}/{name}/"
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def followed(name: str, trainer, step, states=()) -> dict:
    """The losses of each step and the state after it; `states`: those before each step."""
    found = {}
    for number in range(STEPS):
        if states:
            begin(trainer, states[number])
        report = step(make_batch(number, IMAGES))
        found |= {f"{number}/{name}/report/{k}": v.numpy() for k, v in report.items()}
        found |= {f"{number}/{name}/{k}": v for k, v in state(trainer).items()}
    return found


def _same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all((left[k] == right[k]).all() for k in left)


def overflowing(strategy) -> dict:
    """float16, whose second step overflows on the second replica alone."""
    with strategy.scope():
        trainer = make_trainer("BD", training=replace(TRAINING, precision="mixed_float16"))
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        # 2^15, which it begins with, and all down to 2^8 overflow by themselves.
        optimizer.dynamic_scale.assign(64.0)
    found, batch = {}, make_batch(0, IMAGES)
    for step in range(STEPS):
        here = dict(batch)
        if step == 1:
            large = np.zeros((IMAGES, 1, 1, 1), np.float32)
            large[1::REPLICAS] = 1e5
            here["defocus"] = batch["defocus"] + large
        before = state(trainer)
        trainer.train_step(divided(here))
        after = state(trainer)
        kept = [k for k in before if "kernel" in k]
        found[f"float16/{step}/moved"] = sum((before[k] != after[k]).any() for k in kept)
        found[f"float16/{step}/scale"] = trainer.monitored()["loss_scale"]
        found[f"float16/{step}/skipped"] = trainer.monitored()["skipped_updates"]
    return found | {"float16/differing": differing(strategy, trainer)}


def several_a_call(strategy) -> dict:
    """Three steps one by one, and in one call."""
    batches, found = [divided(make_batch(step, IMAGES)) for step in range(STEPS)], {}
    for name in ("single", "called"):
        with strategy.scope():
            trainer = make_trainer("BS")
        if name == "called":
            report = trainer.calls(pretraining=False, steps=STEPS)(batches)
        else:
            for batch in batches:
                report = trainer.train_step(batch)
        found |= {f"{name}/{k}": v.numpy() for k, v in report.items()}
        found[f"{name}/step"] = trainer.step.numpy()
    return found


def main(out: str, part: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    configuration = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [configuration] * REPLICAS)
    strategy = Group.of("mirrored", None, IMAGES).strategy
    parts = {each.__name__: each for each in (compared, overflowing, several_a_call)}
    np.savez(out, **parts[part](strategy))


if __name__ == "__main__":
    main(*sys.argv[1:])

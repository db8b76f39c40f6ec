"""Checkpoints of a run: the last N, the best by validation, and a model rebuilt from them.

    RUN/config.json      the resolved configuration (`config_file.py`)
    RUN/checkpoints/     the last N, with everything that training needs
    RUN/best/            the one that validated best

Besides the networks and optimizers a checkpoint holds the moving statistics of the domain that
inference does not take and, where the run keeps one, the average of B's weights, which is what
`load_blur_estimation` gives. Those of earlier versions hold neither, and load all the same. The
names in it are those of `layout.py`, the same with every version of Keras.

TensorFlow writes a checkpoint under a temporary name and names it in the folder's `checkpoint`
file last, so an interrupted save leaves the one before it in force.
"""

from pathlib import Path

import keras
import tensorflow as tf

from dmenet_tf import config_file as configuration
from dmenet_tf import keras_versions
from dmenet_tf.config import Config
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.blur_estimation import encoder_layers
from dmenet_tf.networks.layers import to_be_loaded
from dmenet_tf.weights import layout
from dmenet_tf.weights.averages import Average, Statistics

LATEST, BEST = "checkpoints", "best"


class Checkpoints:
    """Saves and restores a trainer (`training/trainer.py`) in a run's folder."""

    def __init__(self, run: Path, trainer, keep: int):
        self.best_error = tf.Variable(float("inf"), trainable=False, name="best_error")
        networks = trainer.networks
        # C is frozen, and random where no VGG19 weights were given.
        models = ("blur_estimation", "content", "sharpness", "discriminator")
        models = {name: getattr(networks, name) for name in models}
        self._networks = {name: model for name, model in models.items() if model is not None}
        self._optimizers = {
            "generator_optimizer": keras_versions.state(
                trainer.generator_optimizer, trainer.generator_variables
            )
        }
        if trainer.discriminator_optimizer is not None:
            self._optimizers["discriminator_optimizer"] = keras_versions.state(
                trainer.discriminator_optimizer, networks.discriminator.trainable_variables
            )
        self._others = {
            "step": trainer.step,
            "best_error": self.best_error,
            **layout.of_kept(trainer.other_statistics, trainer.average),
        }
        if trainer.time_limit is not None:
            self._others["seconds"] = trainer.time_limit.seconds
        self._named = {name: layout.of_network(m) for name, m in self._networks.items()}
        checkpoint = tf.train.Checkpoint(**self._named, **self._optimizers, **self._others)
        self.step = trainer.step
        self._latest = tf.train.CheckpointManager(checkpoint, str(run / LATEST), max_to_keep=keep)
        self._best = tf.train.CheckpointManager(checkpoint, str(run / BEST), max_to_keep=1)

    @property
    def latest(self) -> str | None:
        """Path of the last good checkpoint, None where there is none."""
        return self._latest.latest_checkpoint

    def save(self) -> str:
        return self._latest.save(checkpoint_number=self.step)

    def save_if_best(self, error: float) -> bool:
        """Keeps this state as the best one if `error`, the validation's, is the lowest so far."""
        if not error < float(self.best_error):
            return False
        self.best_error.assign(error)
        self._best.save(checkpoint_number=self.step)
        return True

    def restore(self) -> int:
        """Restores the latest checkpoint, all of it, and returns its step; 0 without one.

        Raises ValueError where it lacks anything of the trainer's.
        """
        if self.latest is None:
            return 0
        try:
            self._restore_latest()
        except (AssertionError, ValueError) as error:
            raise ValueError(
                "a checkpoint to resume must be of the same networks and optimizer; received "
                f"{self.latest}: {str(error).splitlines()[0]}"
            ) from error
        return int(self.step.numpy())

    def _restore_latest(self) -> None:
        parts, optional = self._named | self._optimizers, ["seconds"]  # of a run without a limit
        if layout.holds_objects(self.latest):
            layout.restore_objects(self.latest, self._networks, self._optimizers)
            parts, optional = {}, [*optional, "other_statistics"]
        absent = [name for name in optional if not layout.holds(self.latest, name)]
        parts |= {name: value for name, value in self._others.items() if name not in absent}
        status = tf.train.Checkpoint(**parts).restore(self.latest)
        status.assert_existing_objects_matched().expect_partial()


def load_blur_estimation(run: Path, which: str = BEST) -> tuple[keras.Model, Config]:
    """B of a run, rebuilt from the configuration saved with it.

    `which`: `best` (the latest where no validation has run yet) or `checkpoints` (the latest).
    Raises FileNotFoundError where the folder holds no run or no checkpoint.
    """
    path, config = _find(Path(run), which)
    with to_be_loaded():
        model = build_blur_estimation(*config.network.widths)
    _restore_blur_estimation(path, config, model)
    return model, config


def _restore_blur_estimation(path, config, model, **others) -> None:
    """Reads B into `model`: the average of its weights where the run keeps one."""
    if not config.training.average:
        _restore(path, blur_estimation=model, **others)
        return
    encoder = encoder_layers(model)
    before = [layer.trainable for layer in encoder]
    for layer in encoder:  # the average follows what the run trained
        layer.trainable = not config.network.freeze_encoder
    statistics = Statistics(model) if layout.holds(path, "other_statistics") else None
    average = Average(model, config.training.average, statistics)
    for layer, trainable in zip(encoder, before, strict=True):
        layer.trainable = trainable
    _restore(path, blur_estimation=model, average=average, **others)
    average.put_into_model()


def restore_networks(run: Path, networks, which: str = BEST) -> Config:
    """Starts B of `networks` (`trainer.Networks`) from a run, and S and D where both have them.

    Returns the run's configuration. Raises as `load_blur_estimation`, and ValueError where the
    run is of another width.
    """
    path, config = _find(Path(run), which)
    theirs, ours = config.network.widths, networks.blur_estimation
    if _channels(build_blur_estimation(*theirs)) != _channels(ours):
        width = (
            theirs[0] if theirs[0] == theirs[1] else f"{theirs[0]} and decoder_width {theirs[1]}"
        )
        raise ValueError(f"network.width must be that of the weights, {width} of {run}")
    parts = {}
    for letter, name in (("D", "discriminator"), ("S", "sharpness")):
        mine = getattr(networks, name)
        if letter in config.network.parts and mine is not None:
            published = config.network.sharpness_network == "published"
            if letter == "D" or published == (mine.name == "sharpness_calibration"):
                parts[name] = mine
    _restore_blur_estimation(path, config, ours, **parts)
    return config


def _channels(model) -> tuple[int, int]:
    return tuple(model.get_layer(name).filters for name in ("conv1_1", "final_conv1"))


def _find(run: Path, which: str) -> tuple[str, Config]:
    """Path of a run's checkpoint, and its configuration."""
    if not (run / configuration.FILE).is_file():
        raise FileNotFoundError(f"a run's folder holds {configuration.FILE}; received {run}")
    path = tf.train.latest_checkpoint(str(run / which)) or tf.train.latest_checkpoint(
        str(run / LATEST)
    )
    if path is None:
        raise FileNotFoundError(f"a trained run holds a checkpoint; {run} has none yet")
    return path, configuration.load(run / configuration.FILE)


def _restore(path: str, average: Average | None = None, **models: keras.Model) -> None:
    others = layout.of_kept(average=average)
    try:
        if layout.holds_objects(path):
            layout.restore_objects(path, models, {})
        else:
            others |= {name: layout.of_network(model) for name, model in models.items()}
        status = tf.train.Checkpoint(**others).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        # IndexError: cut short.
        raise ValueError(
            f"a run's checkpoint must be whole and of its configuration; received {path}: "
            f"{str(error).splitlines()[0]}"
        ) from error

"""Trains DMENet.

    python -m dmenet_tf.train --preset demo --run runs/demo
    python -m dmenet_tf.train --run runs/demo --resume

Parses, builds, calls; owns the loop.
"""

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tyro

from data_gen import optics
from dmenet_tf import config as configuration
from dmenet_tf.config import PRESETS, Config
from dmenet_tf.data import streams as datasets
from dmenet_tf.training.checkpoints import CONFIG_FILE, Checkpoints
from dmenet_tf.training.monitoring import Monitor, NonFiniteLossError, check_finite
from dmenet_tf.training.trainer import Networks, Trainer, build_networks, loss_weights
from dmenet_tf.training.validation import Validation
from dmenet_tf.visualization import save_panel
from dmenet_tf.weights.load import start_from

IMAGES_SHOWN = 6
TOTALS = ("L_g", "L_d")
EXIT_INTERRUPTED = 130  # what a shell reports for Ctrl-C


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    run, resume, config = parse(sys.argv[1:] if argv is None else argv)
    try:
        train(run, config, resume)
    except NonFiniteLossError as error:
        print(
            f"error: {error}\nA lower learning rate may carry it further: "
            f"python -m dmenet_tf.train --run {run} --resume --learning-rate "
            f"{config.training.learning_rate / 3:.1g}",
            file=sys.stderr,
        )
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; to go on: python -m dmenet_tf.train --run {run} --resume")
        return EXIT_INTERRUPTED
    return 0


def parse(argv) -> tuple[Path, bool, Config]:
    """Options of a run, then every field of the configuration on top of a preset or a file."""
    parser = argparse.ArgumentParser(prog="python -m dmenet_tf.train", add_help=False)
    parser.add_argument("--run", type=Path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--preset", choices=PRESETS, default="demo")
    parser.add_argument("--config", type=Path, help="a configuration file instead of a preset")
    parser.add_argument("--resume", action="store_true", help="continue the run in its folder")
    options, rest = parser.parse_known_args(argv)
    run = options.run or Path("runs", options.preset)
    try:
        if options.resume:
            base = configuration.load(run / CONFIG_FILE)
        elif options.config:
            base = configuration.load(options.config)
        else:
            base = PRESETS[options.preset].config
    except (OSError, ValueError) as error:
        parser.error(str(error))
    listing = "\n".join(f"  {name}: {preset.expect}" for name, preset in PRESETS.items())
    config = tyro.cli(
        Config,
        args=rest,
        default=base,
        prog="python -m dmenet_tf.train",
        description=f"{parser.format_help()}\npresets:\n{listing}",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return run, options.resume, config


def train(run: Path, config: Config, resume: bool = False) -> dict[str, float]:
    """Trains to `config.training.steps` and returns the last validation's figures.

    Writes `run`: config.json, checkpoints/, best/, losses.jsonl, validation.jsonl, TensorBoard
    events and maps.png. Raises before any work for a folder that holds another run, bad options
    or bad data; NonFiniteLossError when a loss becomes NaN; KeyboardInterrupt, after saving, when
    interrupted.
    """
    _prepare_folder(run, config, resume)
    training = config.training
    _set_up_keras(training)
    config, networks = _build_networks(config, resume)
    streams = datasets.open_streams(config.data, training.seed)
    steps_per_epoch = max(1, len(streams.synthetic.source) // config.data.batch)
    trainer = Trainer(networks, config.loss, training, steps_per_epoch)
    checkpoints = Checkpoints(run, trainer, training.keep)
    start = checkpoints.restore() if resume else 0
    configuration.save(config, run / CONFIG_FILE)
    if start >= training.steps:
        print(f"{run} is at step {start} of {training.steps}: nothing left to train")
        return {}
    images, defocus = datasets.validation_set(streams, config.data, training.seed)
    encoding = config.network.label_encoding
    held_out = images, datasets.to_label(defocus, encoding)
    validation = Validation(*held_out, streams.labelled_held_out)
    batches = datasets.training_batches(streams, config.data, training.seed, start)
    batches = batches.map(
        lambda batch: batch | {"defocus": datasets.to_label(batch["defocus"], encoding)}
    )
    with Monitor(run, training.steps, start) as monitor:
        monitor.log_config((run / CONFIG_FILE).read_text(encoding="utf-8"))
        loop = _Loop(run, config, trainer, checkpoints, monitor, validation)
        return loop.run(batches, start)


def _build_networks(config: Config, resume: bool) -> tuple[Config, Networks]:
    """The networks, from `config.network.weights` if so asked, and whose unit B's map is in."""
    network = config.network
    if resume:  # the checkpoint holds all weights, VGG19's and those it once started from
        return config, build_networks(replace(network, vgg_weights="none"))
    networks = build_networks(network)
    if network.weights:
        encoding = start_from(network.weights, networks)
        config = replace(config, network=replace(network, label_encoding=encoding))
    return config, networks


def _prepare_folder(run: Path, config: Config, resume: bool) -> None:
    saved = run / CONFIG_FILE
    if not resume:
        if saved.exists():
            raise FileExistsError(
                f"a new run needs a new folder; {run} holds a run: add --resume to continue it"
            )
        run.mkdir(parents=True, exist_ok=True)
        return
    before = configuration.load(saved)
    if (before.network, before.loss) != (config.network, config.loss):
        raise ValueError(
            "a resumed run keeps its networks and losses; received other options than those in "
            f"{saved}"
        )


def _set_up_keras(training) -> None:
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()


class _Loop:
    """Steps, and what happens between them."""

    def __init__(self, run, config, trainer, checkpoints, monitor, validation):
        self.run_dir, self.config, self.trainer = run, config, trainer
        self.checkpoints, self.monitor, self.validation = checkpoints, monitor, validation
        self.weights = loss_weights(config.loss)

    def run(self, batches, start: int) -> dict[str, float]:
        training = self.config.training
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop of any kind saves
        step, before, logged = start, time.monotonic(), start
        try:
            for batch in batches.take(training.steps - start):
                report = self._update(batch, step)
                step += 1
                check_finite(step, report, self.checkpoints.latest)
                last = step == training.steps
                if last or step % training.log_every == 0:
                    now = time.monotonic()
                    self._log(step, report, (step - logged) / (now - before))
                    before, logged = now, step
                validate = last or step % training.validate_every == 0
                save = last or step % training.checkpoint_every == 0
                if validate or save:  # a finite loss may still have had a gradient that was not
                    check_finite(step, self.trainer.weight_norms(), self.checkpoints.latest)
                if validate:
                    predicted, figures = self._validate(step, batch)
                if save:
                    self.checkpoints.save()
        except KeyboardInterrupt:
            # Between the two, the trainer's own counter says which updates were completed.
            self.checkpoints.save()
            raise
        self._finish(predicted, figures)
        return figures

    def _update(self, batch, step: int) -> dict[str, float]:
        trainer = self.trainer
        pretraining = step < self.config.training.pretrain_steps
        report = (trainer.pretrain_step if pretraining else trainer.train_step)(batch)
        return {name: float(value) for name, value in report.items()}

    def _log(self, step: int, report: dict, steps_per_second: float) -> None:
        report = dict(report)
        totals = {name: report.pop(name) for name in TOTALS if name in report}
        extras = self.trainer.monitored()
        if "d_accuracy" in report:
            extras["discriminator_accuracy"] = report.pop("d_accuracy")
        domains = 1 if self.trainer.networks.discriminator is None else 3
        self.monitor.log_step(
            step,
            report,
            self.weights,
            totals,
            learning_rate=extras.pop("learning_rate"),
            images_per_second=steps_per_second * self.config.data.batch * domains,
            extras=extras,
        )

    def _validate(self, step: int, batch) -> tuple[np.ndarray, dict[str, float]]:
        networks, validation = self.trainer.networks, self.validation
        predicted = validation.predict(networks.blur_estimation)
        figures = validation.measure(networks.blur_estimation, predicted)
        self.monitor.log_validation(step, figures)
        self.checkpoints.save_if_best(figures["mse"])
        shown = slice(IMAGES_SHOWN)
        maps = (self._as_defocus(label[shown]) for label in (predicted, validation.defocus))
        self.monitor.log_images(step, validation.images[shown], *maps)
        if networks.sharpness is not None:
            photos = batch["labelled"]
            defocus = networks.blur_estimation(photos, training=False)["defocus"]
            blurred = tf.sigmoid(networks.sharpness(defocus, training=False))
            self.monitor.log_images(
                step,
                photos,
                self._as_defocus(defocus),
                batch["blurred"],
                blurred,
                name="labelled_photos",
            )
        return predicted, figures

    def _as_defocus(self, label) -> np.ndarray:
        """B's label in the unit of pictures, sigma / 7."""
        encoding = optics.ENCODINGS[self.config.network.label_encoding]
        return optics.sigma_to_defocus(encoding.label_to_sigma(np.asarray(label)))

    def _finish(self, predicted: np.ndarray, figures: dict) -> None:
        validation = self.validation
        picture = self.run_dir / "maps.png"
        shown = slice(IMAGES_SHOWN)
        maps = (self._as_defocus(label[shown]) for label in (predicted, validation.defocus))
        save_panel(picture, validation.images[shown], *maps)
        np.save(self.run_dir / "maps.npy", predicted)
        share = figures["mse_of_constant"]
        print(
            f"held-out MSE {figures['mse']:.5f}, {share:.1%} of the best constant map's "
            f"{validation.constant_mse:.5f}\n"
            f"maps of held-out scenes: {picture}\n"
            "what to run next:\n"
            f"  tensorboard --logdir {self.run_dir}\n"
            f"  python -m dmenet_tf.train --run {self.run_dir} --resume --steps "
            f"{2 * self.config.training.steps}\n"
            "  python -m dmenet_tf.train --help    (your own scenes and photos; see README.md)"
        )


if __name__ == "__main__":
    sys.exit(main())

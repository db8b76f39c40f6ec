"""The loop of a run: steps, and what happens between them.

Losses stay on the device until `log_every` steps have passed: nothing waits for a number that
nobody reads. They are checked then, and weights besides before every validation and save, so that
what is kept is finite; what went wrong is found at most `log_every` steps late. Several steps may
be one call of TensorFlow (`calls.py`), which ends where the loop has something to do.
"""

import contextlib
import signal
import time

import numpy as np
import tensorflow as tf

from data_gen import interrupts, optics
from data_gen.io.arrays import write_npy
from data_gen.io.atomic import write_text
from dmenet_tf.data.iteration import Elements
from dmenet_tf.data.sources import Streams
from dmenet_tf.keras_versions import path_of
from dmenet_tf.training.calls import grouped
from dmenet_tf.training.debugging import Profile
from dmenet_tf.training.distribution import Group, interrupts_postponed, is_of_lost_worker
from dmenet_tf.training.failures import StoppedError, explain
from dmenet_tf.training.losses import loss_weights
from dmenet_tf.training.monitoring import NonFiniteLossError, check_finite
from dmenet_tf.training.precision import product_type
from dmenet_tf.training.step_table import Clock, table
from dmenet_tf.visualization import save_panel

IMAGES_SHOWN = 6
FEW_STEPS = 100  # fewer prove nothing about a model
TOTALS = ("L_g", "L_d")
SKIPPED_FILE = "skipped.txt"  # photos that could not be read, one a line


class Loop:
    """Steps, and what happens between them."""

    def __init__(
        self, run, config, streams: Streams, trainer, checkpoints, monitor, validation, group=None
    ):
        self.group = group or Group()
        self._within_step = False
        self.run_dir, self.config, self.streams, self.trainer = run, config, streams, trainer
        self.checkpoints, self.monitor, self.validation = checkpoints, monitor, validation
        self.weights = loss_weights(config.loss)
        self._profile, self._calls = Profile(run, config.training.profiled), {}
        self._time_is_up = False
        self._skipped_file, self._told = run / SKIPPED_FILE, set()
        # A resumed run adds to what it skipped before.
        listed = self._skipped_file.read_text("utf-8") if self._skipped_file.exists() else ""
        self.skipped = dict.fromkeys(listed.splitlines())

    def run(self, batches, start: int) -> dict[str, float]:
        """Trains on `batches`, which begin at step `start`; returns the last validation's figures.

        Raises, the state being saved: KeyboardInterrupt; StoppedError for what a file, the disk or
        TensorFlow does not allow. NonFiniteLossError saves nothing.
        """
        signal.signal(signal.SIGTERM, interrupts.interrupt)  # a stop of any kind saves
        try:
            clock = Clock()
            with Elements(batches.take(self.config.training.steps - start)) as elements:
                predicted, figures, batch = self._steps(elements, start, clock)
            self._finish(predicted, figures)
            self.group.wait()
        except KeyboardInterrupt:
            # Between the two, the trainer's own counter says which updates were completed.
            self._check_weights()
            self._save()
            raise
        except (OSError, ValueError, tf.errors.OpError) as error:
            kept = self._keep_state(error)
            raise StoppedError(f"{explain(error, self.streams)}; {kept}") from error
        finally:
            self._profile.end()
            self._list_skipped()
        if self.config.training.profiled and self.group.share is None:
            self._show_times(clock, batch)  # it moves the weights: not where these might be saved
        return figures

    def _steps(self, batches, step: int, clock: Clock) -> tuple[np.ndarray, dict, dict]:
        """What the last validation gave, and the last batch."""
        training, before, logged, waited = self.config.training, time.monotonic(), step, 0.0
        self._profile.follow(step)
        if self.trainer.time_limit is not None:
            self.trainer.time_limit.start()
        waiting = clock.waiting(batches)
        for group in grouped(waiting, step, training.steps_per_call, self._has_to_do):
            called = time.perf_counter()
            report = self._update(group, step)
            step += len(group)
            self._profile.follow(step)
            self._look_at_the_time()
            log, validate, save = self._due(step)
            if log or validate or save:
                report = {name: float(value) for name, value in report.items()}
                check_finite(step, report, self.checkpoints.latest)
            clock.called_since(called, len(group))
            if log:
                now = time.monotonic()
                share = (clock.waited - waited) / (now - before)
                self._log(step, report, (step - logged) / (now - before), share)
                self._list_skipped()
                before, logged, waited = now, step, clock.waited
            if validate or save:  # a finite loss may still have had a gradient that was not
                self._check_weights()
            if validate:
                predicted, figures = self._validate(step, group[-1])
            if save:
                self._save()
            if self._shows_weights(step):
                self._log_weights(step)
            if self._time_is_up:
                self.monitor.note(f"the time, {training.minutes:g} min, is up at step {step}")
                break
        return predicted, figures, group[-1]

    def _look_at_the_time(self) -> None:
        limit = self.trainer.time_limit
        self._time_is_up = limit is not None and limit.look()

    def _due(self, step: int) -> tuple[bool, bool, bool]:
        """Whether to log, to validate and to save after so many steps."""
        training = self.config.training
        every = training.log_every, training.validate_every, training.checkpoint_every
        return tuple(self._is_last(step) or step % count == 0 for count in every)

    def _is_last(self, step: int) -> bool:
        return step == self.config.training.steps or self._time_is_up

    def _has_to_do(self, step: int) -> bool:
        pretrained = step == self.config.training.pretrain_steps
        profiled = self._profile.at(step)
        return any(self._due(step)) or pretrained or profiled or self._shows_weights(step)

    def _shows_weights(self, step: int) -> bool:
        every = self.config.training.histograms
        return every > 0 and (self._is_last(step) or step % every == 0)

    def _log_weights(self, step: int) -> None:
        """Histograms of what the networks learn, named network/layer/variable."""
        networks = self.trainer.networks._asdict().items()
        weights = {
            f"{name}/{path_of(variable)}": variable.numpy()
            for name, network in networks
            if network is not None
            for variable in network.trainable_weights
        }
        self.monitor.log_histograms(step, weights)

    def _check_weights(self) -> None:
        step = int(self.trainer.step.numpy())
        check_finite(step, self.trainer.weight_norms(), self.checkpoints.latest)

    def _keep_state(self, error: Exception) -> str:
        """Saves after an error, if that is possible; says what is kept."""
        latest = self.checkpoints.latest
        kept = f"the last checkpoint is kept: {latest}" if latest else "nothing is saved yet"
        if self._within_step or is_of_lost_worker(error):  # D may have learned, and B not
            return kept
        try:
            self._check_weights()
            self._save()
        except (NonFiniteLossError, OSError, tf.errors.OpError):
            return kept
        step = int(self.trainer.step.numpy())
        return f"step {step} is saved; to continue: dmenet train --run {self.run_dir} --resume"

    def _save(self) -> None:
        self.checkpoints.save()

    def _show_times(self, clock: Clock, batch: dict) -> None:
        """Where a step's time went, after a run of one device that was profiled."""
        training = self.config.training
        settings = product_type(training.precision), training.jit == "on"
        print(table(clock, self.trainer, batch, *settings))

    def _list_skipped(self) -> None:
        """Names photos that were newly found to be unreadable, and lists all of them in a file."""
        found = [problem for problem in self.streams.skipped if problem not in self._told]
        if not found:
            return
        for problem in found:
            self.monitor.note(f"skipped: {problem}")
        self._told.update(found)
        self.skipped.update(dict.fromkeys(found))
        with contextlib.suppress(OSError):  # a full disk stops the next checkpoint, which says so
            write_text(self._skipped_file, "".join(f"{line}\n" for line in self.skipped))

    def _update(self, batches: list, step: int) -> dict[str, tf.Tensor]:
        """One step on each of the batches; the losses of the last one."""
        training = self.config.training
        pretraining = step < training.pretrain_steps
        if pretraining not in self._calls:
            left = (training.pretrain_steps if pretraining else training.steps) - step
            self._calls[pretraining] = self.trainer.calls(pretraining, left)
        if self.group.worker.count == 1:
            return self._calls[pretraining](batches)
        with interrupts_postponed():
            self._within_step = True
            report = self._calls[pretraining](batches)
            self._within_step = False
        return report

    def _log(self, step: int, report: dict, steps_per_second: float, waited: float) -> None:
        report = dict(report)
        totals = {name: report.pop(name) for name in TOTALS if name in report}
        extras = self.trainer.monitored() | {"data_wait_share": waited}
        if "d_accuracy" in report:
            extras["discriminator_accuracy"] = report.pop("d_accuracy")
        domains = 1 + len(self.trainer.real)
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
        batch = batch[0] if isinstance(batch, tuple) else batch  # of several replicas, the first's
        batch = self.trainer.prepare(batch)
        figures = self._figures_by_other_statistics()
        with self.trainer.for_inference() as model:
            predicted = validation.predict(model)
            figures = validation.measure(model, predicted) | figures
        self.monitor.log_validation(step, figures)
        if validation.counts is not None:
            self.monitor.log_precision_recall(step, validation.counts)
        self.checkpoints.save_if_best(validation.error(figures, self.config.training.best_by))
        shown = slice(IMAGES_SHOWN)
        maps = (self._as_defocus(label[shown]) for label in (predicted, validation.defocus))
        self.monitor.log_images(step, validation.images[shown], *maps)
        if networks.sharpness is not None and tf.is_tensor(batch["labelled"]):
            photos = batch["labelled"]
            with self.trainer.for_inference() as model:
                defocus = model(photos, training=False)["defocus"]
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

    def _figures_by_other_statistics(self) -> dict[str, float]:
        """The figures with the moving statistics of the domain that inference does not take."""
        if self.trainer.other_statistics is None:
            return {}
        other = "photos" if self.trainer.statistics == "synthetic" else "synthetic"
        with self.trainer.for_inference(other) as model:
            figures = self.validation.measure(model, self.validation.predict(model))
        return {f"{name}_by_{other}": value for name, value in figures.items()}

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
        write_npy(self.run_dir / "maps.npy", predicted)
        share = figures["mse_ratio_to_constant"]
        if self.skipped:
            print(f"unreadable photos that were skipped: {len(self.skipped)}, {self._skipped_file}")
        if self.config.training.steps < FEW_STEPS:
            print(
                f"{self.config.training.steps} steps show that everything runs, and nothing about "
                "the maps: training takes thousands"
            )
        print(
            f"held-out MSE {figures['mse']:.5f}, {share:.1%} of the best constant map's "
            f"{validation.constant_mse:.5f}\n"
            f"maps of held-out scenes: {picture}\n"
            "what to run next:\n"
            f"  tensorboard --logdir {self.run_dir}\n"
            f"  dmenet train --run {self.run_dir} --resume --steps "
            f"{2 * self.config.training.steps}\n"
            "  dmenet train --help    (your own scenes and photos; see docs/data.md)"
        )
        self.monitor.log_end()

"""The loop of a run: steps, and what happens between them.

Losses stay on the device until `log_every` steps have passed: nothing waits for a number that
nobody reads. They are checked then, and weights besides before every validation and save, so that
what is kept is finite; what went wrong is found at most `log_every` steps late.
"""

import signal
import time

import numpy as np
import tensorflow as tf

from data_gen import optics
from data_gen.io.arrays import write_npy
from dmenet_tf.training.monitoring import check_finite
from dmenet_tf.training.trainer import loss_weights
from dmenet_tf.visualization import save_panel

IMAGES_SHOWN = 6
TOTALS = ("L_g", "L_d")


class Loop:
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
                last = step == training.steps
                log, validate, save = (
                    last or step % every == 0
                    for every in (
                        training.log_every, training.validate_every, training.checkpoint_every
                    )
                )  # fmt: skip
                if log or validate or save:
                    report = {name: float(value) for name, value in report.items()}
                    check_finite(step, report, self.checkpoints.latest)
                if log:
                    now = time.monotonic()
                    self._log(step, report, (step - logged) / (now - before))
                    before, logged = now, step
                if validate or save:  # a finite loss may still have had a gradient that was not
                    check_finite(step, self.trainer.weight_norms(), self.checkpoints.latest)
                if validate:
                    predicted, figures = self._validate(step, batch)
                if save:
                    self.checkpoints.save()
        except KeyboardInterrupt:
            # Between the two, the trainer's own counter says which updates were completed.
            check_finite(step, self.trainer.weight_norms(), self.checkpoints.latest)
            self.checkpoints.save()
            raise
        self._finish(predicted, figures)
        return figures

    def _update(self, batch, step: int) -> dict[str, tf.Tensor]:
        trainer = self.trainer
        pretraining = step < self.config.training.pretrain_steps
        return (trainer.pretrain_step if pretraining else trainer.train_step)(batch)

    def _log(self, step: int, report: dict, steps_per_second: float) -> None:
        report = dict(report)
        totals = {name: report.pop(name) for name in TOTALS if name in report}
        extras = self.trainer.monitored()
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
        figures = self._figures_by_other_statistics()
        with self.trainer.for_inference() as model:
            predicted = validation.predict(model)
            figures = validation.measure(model, predicted) | figures
        self.monitor.log_validation(step, figures)
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
        share = figures["mse_of_constant"]
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

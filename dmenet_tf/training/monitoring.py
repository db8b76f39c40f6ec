"""Monitoring: dicts -> TensorBoard, JSON lines and the console.

A run directory receives
- `events.out.tfevents.*`  TensorBoard: `loss/` raw, `weighted/` times their lambda, `total/`,
                           `train/`, `validation/` scalars, `images/` panels, the `config` text and
                           the same as HParams, `precision_recall/` of labelled photos, `weights/`
                           histograms
- `losses.jsonl`           one line a step, raw losses and totals at full precision: two runs are
                           equal bit for bit when these files are (NaN is written as NaN)
- `validation.jsonl`       one line a validation

The event records are written here and not through `tf.summary`, because a resumed run has to drop
what the interrupted one logged beyond its checkpoint, and that API cannot. TensorBoard's two
readers disagree on how they recognise a restart: the fast one drops a tag's later points only when
that tag comes again, the Python one only on a second SessionLog START. So both files and readers
are served: old event files are cut at the checkpoint, and every start writes a START event.

Pictures are made by `visualization.py`, which states their shapes.
"""

import contextlib
import json
import math
import time
from pathlib import Path

import tensorflow as tf

from data_gen.io import atomic
from dmenet_tf.training import events
from dmenet_tf.training.progress_line import ProgressLine
from dmenet_tf.training.time_limit import TimeLimit
from dmenet_tf.visualization import panel

OLD_NAME = '"mse_of_constant', '"mse_ratio_to_constant'  # in lines of earlier versions

Event = tf.compat.v1.Event
Summary = tf.compat.v1.Summary


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; training stops here."""


def check_finite(step: int, losses: dict, checkpoint: Path | None = None) -> None:
    """Raises NonFiniteLossError naming each value that is NaN or infinite, and the step.

    `checkpoint` is the path of the last good checkpoint, for the message; None: none exists yet.
    """
    bad = {name: float(value) for name, value in losses.items() if not math.isfinite(value)}
    if not bad:
        return
    received = ", ".join(f"{name} = {value}" for name, value in bad.items())
    kept = (
        f"the last good checkpoint is kept: {checkpoint}"
        if checkpoint
        else "no checkpoint had been saved yet"
    )
    raise NonFiniteLossError(
        f"every loss and weight is finite; received {received} at step {step}; {kept}"
    )


class Monitor:
    """Writes one run's figures; a context manager that closes its files and progress line.

    `start_step` is the number of steps already done (0: from scratch). What the directory holds
    beyond it is dropped, so a resumed run's log has neither gap nor duplicate; with 0 that is
    everything. A validation of step `start_step` itself is kept. `time_limit`: of a run that ends
    by the clock, which the progress then tells.
    """

    def __init__(
        self,
        run_dir,
        total_steps: int,
        start_step: int = 0,
        console: bool = True,
        time_limit: TimeLimit | None = None,
    ):
        if not 0 <= start_step <= total_steps:
            raise ValueError(
                "start_step lies between 0 and total_steps; "
                f"received start_step {start_step}, total_steps {total_steps}"
            )
        self.run_dir = Path(run_dir)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._last_step = start_step
        # The first step that this start may write; a run from scratch also owns step 0.
        first_step = start_step + 1 if start_step else 0
        for path in sorted(self.run_dir.glob("events.out.tfevents.*")):
            _cut_events(path, first_step)
        self._losses = _continue_lines(self.run_dir / "losses.jsonl", first_step)
        self._validation = _continue_lines(self.run_dir / "validation.jsonl", first_step)
        # Readers take the files in the order of their names: nanoseconds keep a fast restart last.
        events_path = self.run_dir / f"events.out.tfevents.{time.time_ns()}"
        self._events = tf.io.TFRecordWriter(str(events_path))
        self._write_event(0, file_version="brain.Event:2")
        start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._write_event(first_step, session_log=start)
        self._console = ProgressLine(total_steps, start_step, time_limit) if console else None

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.close()
        except (OSError, tf.errors.OpError):
            if error is None:  # on a full disk, what came first says more
                raise

    def close(self) -> None:
        with contextlib.ExitStack() as files:
            for opened in (self._console, self._validation, self._losses, self._events):
                if opened:
                    files.callback(opened.close)

    def log_step(
        self,
        step: int,
        losses: dict,
        weights: dict,
        totals: dict,
        *,
        learning_rate: float,
        images_per_second: float,
        extras: dict | None = None,
    ) -> None:
        """Logs one training step; `step` counts from 1 and grows with every call.

        `losses` are the raw ones, `weights` their lambdas by the same names, `totals` what the two
        optimisers minimise ("L_g", "L_d"). `extras` go to `train/<name>`; the console shows its
        "discriminator_accuracy". Raises ValueError for a loss without a weight or a repeated step.
        """
        if step <= self._last_step:
            raise ValueError(f"steps grow; received step {step} after step {self._last_step}")
        if missing := sorted(set(losses) - set(weights)):
            raise ValueError(f"every loss has a weight; received none for {', '.join(missing)}")
        self._last_step = step
        losses, totals = _floats(losses), _floats(totals)
        speed = {"learning_rate": learning_rate, "images_per_second": images_per_second}
        train = _floats({**speed, **(extras or {})})
        weighted = {name: float(weights[name]) * value for name, value in losses.items()}
        self._write_scalars(step, loss=losses, weighted=weighted, total=totals, train=train)
        self._losses.write(json.dumps({"step": step, **losses, **totals}) + "\n")
        if self._console:
            self._console.step(step, _step_line(losses, totals, train))

    def log_validation(self, step: int, metrics: dict) -> None:
        """Logs figures of a validation after `step` steps, e.g. {"mse": ..., "mae": ...}."""
        metrics = _floats(metrics)
        self._write_scalars(step, validation=metrics)
        self._validation.write(json.dumps({"step": step, **metrics}) + "\n")
        if self._console:
            figures = "  ".join(f"{name} {value:.5g}" for name, value in metrics.items())
            self._console.line(f"validation at step {step}: {figures}")

    def note(self, text: str) -> None:
        """Shows a line above the progress."""
        if self._console:
            self._console.line(text)

    def log_images(
        self, step: int, image, predicted, truth=None, sharpness=None, name: str = "examples"
    ) -> None:
        """Logs one picture to `images/<name>`: a row per example, columns as in `panel`."""
        picture = panel(image, predicted, truth, sharpness)
        self._write_event(step, summary=events.picture(f"images/{name}", picture))

    def log_config(self, text: str) -> None:
        """Logs the resolved configuration as a block of text."""
        self._write_event(self._last_step, summary=events.text("config", text))

    def log_settings(self, values: dict, figures: list[str]) -> None:
        """Logs the resolved configuration for the comparison of runs (HParams).

        values: nested, as it is saved. figures: names of those that `log_validation` will get.
        """
        tags = [f"validation/{name}" for name in figures]
        for summary in events.settings(values, tags):
            self._write_event(self._last_step, summary=summary)

    def log_precision_recall(self, step: int, counts) -> None:
        """Logs the curve of "blurred" over the labelled validation's pixels.

        counts: `metrics.ThresholdCounts` at evenly spaced thresholds.
        """
        curve = events.precision_recall_curve("precision_recall/labelled_validation", counts)
        self._write_event(step, summary=curve)

    def log_histograms(self, step: int, weights: dict) -> None:
        """Logs {name: values} as `weights/<name>`."""
        for name, values in weights.items():
            self._write_event(step, summary=events.histogram(f"weights/{name}", values))

    def log_end(self) -> None:
        """Logs that the last step was reached."""
        self._write_event(self._last_step, summary=events.ended())

    def _write_scalars(self, step: int, **groups: dict) -> None:
        values = [
            Summary.Value(tag=f"{group}/{name}", simple_value=value)
            for group, scalars in groups.items()
            for name, value in scalars.items()
        ]
        self._write_event(step, summary=Summary(value=values))

    def _write_event(self, step: int, **what) -> None:
        self._events.write(Event(wall_time=time.time(), step=step, **what).SerializeToString())
        # A killed process loses nothing that its checkpoint says was done.
        self._events.flush()


# --- what an earlier start left behind --------------------------------------------------------


def _continue_lines(path: Path, first_step: int):
    """Opens a JSON-lines file for appending after dropping the lines of `first_step` and later."""
    if path.exists():
        kept = "".join(
            line.replace(*OLD_NAME) + "\n"
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], 1)
            if _step_of(line, path, number) < first_step
        )
        atomic.write_text(path, kept)
    return path.open("a", encoding="utf-8", buffering=1)


def _step_of(line: str, path: Path, number: int) -> int:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}, line {number}: a line is a JSON object with a step; received {line[:80]!r}"
        ) from error


def _cut_events(path: Path, first_step: int) -> None:
    """Drops the records of `first_step` and later from an event file; an empty one is removed."""
    kept, complete = [], True
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            # Readers keep the first settings that they find: those of this start shall be it.
            if event.step < first_step and not events.is_of_settings(event):
                kept.append(record)
            else:
                complete = False
    except tf.errors.DataLossError:
        complete = False  # The process was killed while it wrote the last record.
    if complete:
        return
    # TensorBoard reads whatever has "tfevents" in its name: not this.
    temporary = path.with_name("events.tmp")
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for record in kept:
            writer.write(record)
    atomic.replace(temporary, path)


# --- console ----------------------------------------------------------------------------------


def _floats(values: dict) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _step_line(losses: dict, totals: dict, train: dict) -> str:
    # What matters most comes first: a narrow terminal cuts the end of the line.
    parts = [f"{name} {value:.4g}" for name, value in totals.items()]
    if "discriminator_accuracy" in train:
        parts.append(f"D acc {train['discriminator_accuracy']:.2f}")
    parts.append(f"{train['images_per_second']:.1f} images/s")
    return "  ".join(parts + [f"{name} {value:.4g}" for name, value in losses.items()])

"""The progress of a training on the console."""

import sys
import time

from tqdm import tqdm

from dmenet_tf.training.time_limit import TimeLimit

PLAIN_LINE_EVERY_S = 30.0


class ProgressLine:
    """A progress line on a terminal; into a file a plain line now and then, the last one always."""

    def __init__(self, total_steps: int, start_step: int, time_limit: TimeLimit | None = None):
        self._time_limit = time_limit
        left = "" if time_limit else "<{remaining}"  # its steps are not what ends it
        layout = "{percentage:3.0f}%|{bar:16}| {n_fmt}/{total_fmt} [{elapsed}" + left + "] {desc}"
        self._bar = tqdm(
            total=total_steps,
            initial=start_step,
            bar_format=layout,
            dynamic_ncols=True,
            disable=None,  # tqdm's word for "unless stderr is a terminal"
        )
        self._total_steps, self._first, self._next_s = total_steps, None, 0.0

    def step(self, step: int, text: str) -> None:
        if self._bar.disable:
            self._plain(step, text)
        else:
            if self._time_limit:
                text = f"{tqdm.format_interval(self._time_limit.left)} left  {text}"
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(step - self._bar.n)

    def line(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        self._bar.close()

    def _plain(self, step: int, text: str) -> None:
        now = time.monotonic()
        # Speed counts from the end of the first step, which holds the tracing of the graph.
        self._first = self._first or (step, now)
        if now < self._next_s and step < self._total_steps:
            return
        self._next_s = now + PLAIN_LINE_EVERY_S
        done, seconds = step - self._first[0], now - self._first[1]
        seconds_left = (self._total_steps - step) * seconds / done if done else float("inf")
        if self._time_limit:
            seconds_left = min(seconds_left, self._time_limit.left)
        known = seconds_left < float("inf")
        left = tqdm.format_interval(max(0.0, seconds_left)) if known else "?"
        share = 100.0 * step / self._total_steps
        self.line(f"step {step}/{self._total_steps} ({share:.0f}%, {left} left)  {text}")

"""A closer look at a run: a profile of some steps, and where the first NaN comes from."""

import tensorflow as tf


def checked(step):
    """`step`, a function to be traced, whose graph stops at the first NaN or infinite number.

    That operation is named. Only those of the step are watched: the pipeline of images may divide
    by zero where the result is not used. XLA does not know the checks.
    """

    def watched(batch):
        tf.debugging.enable_check_numerics()  # operations that are made from now on
        try:
            return step(batch)
        finally:
            tf.debugging.disable_check_numerics()

    return watched


class Profile:
    """Profiles from step FIRST to step LAST into the folder of a run.

    steps: (FIRST, LAST), numbers of steps made; None: nothing is profiled. A run that is resumed
        between them profiles what is left.
    """

    def __init__(self, run, steps: tuple[int, int] | None):
        self._run, self._steps, self._under_way = str(run), steps, False

    def at(self, step: int) -> bool:
        """Whether the profile begins or ends after so many steps."""
        return self._steps is not None and step in self._steps

    def follow(self, step: int) -> None:
        """Begins or ends the profile; to be called before the first step and after each call."""
        if self._steps is None:
            return
        first, last = self._steps
        if first <= step < last and not self._under_way:
            tf.profiler.experimental.start(self._run)
            self._under_way = True
        elif step >= last:
            self.end()

    def end(self) -> None:
        if self._under_way:
            self._under_way = False
            tf.profiler.experimental.stop()

"""A run that ends by the clock: for a machine that is lent for an hour, or a job with a limit.

How many steps a machine makes in that time is not known beforehand, and a learning rate that has
not come down when the time is up leaves a worse model than one that has. So the cosine follows
the time where that is further on than the steps.
"""

import time

import tensorflow as tf


class TimeLimit:
    """The minutes of a run, over all times that it was resumed.

    share: a variable, the share of them that is used up, as of the last `look`.
    seconds: a variable, those that are used up, which a checkpoint keeps.
    """

    def __init__(self, minutes: float, clock=time.monotonic):
        self._all, self._clock = 60.0 * minutes, clock
        self.share = tf.Variable(0.0, trainable=False, name="share_of_time")
        self.seconds = tf.Variable(0.0, trainable=False, name="seconds", dtype=tf.float64)
        self._before = self._since = None

    @property
    def left(self) -> float:
        """Seconds that are left, as of the last `look`."""
        return self._all - float(self.seconds)

    def start(self) -> None:
        """From now on the time counts, on top of what is used up already."""
        self._before, self._since = float(self.seconds), self._clock()
        self.look()

    def look(self) -> bool:
        """Sets `seconds` and `share` to now; whether the time is up."""
        if self._since is not None:
            self.seconds.assign(self._before + self._clock() - self._since)
        self.share.assign(min(1.0, float(self.seconds) / self._all))
        return self.left <= 0

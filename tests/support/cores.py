"""Processes on some of the cores."""

import contextlib
import os
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """A process started within it, from this thread, has these cores."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)

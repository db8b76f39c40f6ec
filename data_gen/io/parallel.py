"""Work on many files by a thread per core, in order and in bounded memory."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that a generator may hold open between two items.

    Leaving it drops what has not begun and waits for nobody. A generator that is abandoned, as by
    an error in the loop over it, is ended by whichever thread collects the garbage: one of the
    pool itself perhaps, which cannot wait for itself.
    """
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def ordered(function: Callable, count: int) -> Iterator:
    """`function(0)`, `function(1)`, ... `function(count - 1)`, computed by a thread per core.

    Image decoders release the interpreter's lock, so threads are enough. Work is handed out in
    small batches: few results wait in memory, and an error stops everything at once.
    """
    at_once = cores()
    with threads(at_once) as pool:
        for start in range(0, count, 4 * at_once):
            yield from pool.map(function, range(start, min(start + 4 * at_once, count)))

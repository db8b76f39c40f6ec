"""Work on many files by a thread per core, in order and in bounded memory."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered(function: Callable, count: int) -> Iterator:
    """`function(0)`, `function(1)`, ... `function(count - 1)`, computed by a thread per core.

    Image decoders release the interpreter's lock, so threads are enough. Work is handed out in
    small batches: few results wait in memory, and an error stops everything at once.
    """
    threads = cores()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, 4 * threads):
            yield from pool.map(function, range(start, min(start + 4 * threads, count)))

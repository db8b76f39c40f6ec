"""Work on many files by a thread per core, in order and in bounded memory."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def ordered(function: Callable, count: int) -> Iterator:
    """`function(0)`, `function(1)`, ... `function(count - 1)`, computed by a thread per core.

    Decoders of images release the interpreter's lock, so threads are enough. Work is handed out in
    small parts: few results wait in memory, and an error stops all at once.
    """
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, count, 4 * cores):
            yield from pool.map(function, range(start, min(start + 4 * cores, count)))

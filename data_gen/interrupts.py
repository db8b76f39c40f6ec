"""Ctrl-C and SIGTERM, of which none is lost.

Python raises KeyboardInterrupt in the main thread, whatever that does at the moment. In a
finalizer, or in code that ignores all exceptions, the interrupt is dropped and the program goes
on; TensorFlow has such code where it lets go of traced functions. So what was received is
remembered, and long work looks at it between two pieces.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator

_received = False


def interrupt(*_) -> None:
    """Handler of a signal: raises KeyboardInterrupt; where that is lost, the next `check` does."""
    global _received
    _received = True
    raise KeyboardInterrupt


def check() -> None:
    """Raises the KeyboardInterrupt that was received and has not ended the work."""
    global _received
    if _received and threading.current_thread() is threading.main_thread():
        _received = False
        raise KeyboardInterrupt


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Within it, `interrupt` is what Ctrl-C does, unless it was set to do something else."""
    global _received
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:  # a thread, a job in the background, or a program with a handler of its own
        yield
        return
    _received = False
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        _received = False
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

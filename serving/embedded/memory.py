"""The C library's memory, where it is glibc's: elsewhere these do nothing."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """To be called before threads start: all of a process's threads allocate from few arenas.

    A server has dozens of threads, and glibc makes an arena for each, up to 8 a core. Large arrays
    that come and go in all of them leave holes in all of them: a server at full load grew for as
    long as it ran (30 MB in 20 minutes), and with two arenas it stays where it is.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)


def return_freed_memory() -> None:
    """Brings what is free in the process back to the system.

    Reading a model of the paper's width frees 2 GB in passing, which would stay with the process.
    """
    gc.collect()  # graphs are full of cycles
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

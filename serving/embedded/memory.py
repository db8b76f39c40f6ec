"""Memory of the C library. These functions do nothing unless it is glibc."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """Limits the number of malloc arenas; to be called before threads start.

    A server has dozens of threads, and glibc makes an arena for each, up to 8 a core. Large arrays
    that come and go fragment all of them: a server at full load grew for as long as it ran (30 MB
    in 20 minutes); with two arenas its memory stays constant.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)


def return_freed_memory() -> None:
    """Returns free memory of the process to the system.

    Loading a model of the paper's width frees 2 GB along the way, which the process would keep.
    """
    gc.collect()  # graphs are full of cycles
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

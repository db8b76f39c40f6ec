"""Atomic writes: a file appears complete or not at all.

Data is written to a temporary file `.NAME.xxxxxxxx.tmp` in the same folder, synced to disk and
renamed. A killed program can leave only such a temporary file behind.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

NAME_BYTES_MAX = 255  # of the usual file systems


def write_atomic(path, write: Callable[[Path], object]) -> None:
    """Calls `write(temporary_path)`, then renames to `path`; creates a missing folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        write(temporary)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(name: str) -> str:
    """`.NAME.xxxxxxxx.tmp`; of a long name only as much as a file system takes."""
    ending = f".{uuid.uuid4().hex[:8]}.tmp"
    kept = os.fsencode(name)[: NAME_BYTES_MAX - len(ending) - 1]
    # No part of a letter, and a name in the encoding of this process, which may not be UTF-8.
    return "." + os.fsdecode(kept.decode(errors="ignore").encode()) + ending


def replace(temporary, path) -> None:
    """Syncs a complete file to disk and renames it to `path`, replacing an earlier one.

    For writers that need a temporary name of their own; all others use `write_atomic`.
    """
    # Without it, a power cut may leave an empty file under the new name.
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_bytes(path, data: bytes) -> None:
    """Writes bytes atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_text(path, text: str) -> None:
    """Writes text atomically, in UTF-8 with "\\n" line ends on every system."""
    write_bytes(path, text.encode("utf-8"))

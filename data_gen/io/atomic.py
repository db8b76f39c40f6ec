"""Files that appear whole or not at all: the one way in which the project writes a file.

Everything is written under a temporary name, `.NAME.xxxxxxxx.tmp` in the same folder, brought to
the disk and renamed. A killed program can leave only such a name behind.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomic(path, write: Callable[[Path], object]) -> None:
    """`write(temporary_path)`, then rename to `path`; makes the folder, cleans up on errors."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        write(temporary)
        # Without it, a power cut may leave the new name with the old, empty content.
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path, data: bytes) -> None:
    """A file of these bytes, atomically."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_text(path, text: str) -> None:
    """A file of this text in UTF-8 with "\\n" line ends on every system, atomically."""
    write_bytes(path, text.encode("utf-8"))

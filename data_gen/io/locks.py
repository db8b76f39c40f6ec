"""One writer of a folder at a time, on POSIX systems and on Windows."""

import os
from pathlib import Path

import filelock

from data_gen.io.atomic import write_text
from data_gen.io.errors import DataFileError

LOCK = ".lock"
# Not in the file of the lock: a program that waits for it may truncate it.
HOLDER = ".lock.pid"
# Long enough to retry if the previous holder removed the file between opening and locking it.
TIMEOUT_S = 0.2


class FolderLock:
    """Locks a folder for one writer: `with FolderLock(folder): ...`.

    The operating system releases the lock when the process ends, so a killed writer leaves no stale
    lock; its files `.lock` and `.lock.pid`, the id of its process, are reused and removed by the
    next writer. Creates a missing folder. Raises `DataFileError`, naming the folder and the other
    process, if another process holds it; also if the folder is not writable.
    """

    def __init__(self, folder):
        self.folder, self.path = Path(folder), Path(folder) / LOCK
        self._holder = self.folder / HOLDER
        self._lock = filelock.FileLock(self.path, timeout=TIMEOUT_S, poll_interval=0.01)

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            try:
                write_text(self._holder, f"{os.getpid()}\n")
            except BaseException:
                self._lock.release()
                raise
        except filelock.Timeout as error:
            raise DataFileError(
                f"{self.folder}: only one program at a time may write here; another one does"
                + self._held_by()
            ) from error
        except OSError as error:
            raise DataFileError(
                f"{self.folder}: must be a folder that can be written; received '{error}'"
            ) from error
        return self

    def _held_by(self) -> str:
        try:
            return f", process {int(self._holder.read_text())}"
        except (OSError, ValueError):  # it has the lock, and has not yet said so
            return ""

    def __exit__(self, *_):
        self._holder.unlink(missing_ok=True)
        if os.name != "nt":  # on Windows filelock removes the file, once it is closed
            # Before the release: filelock reopens the file if it was removed while waiting for it.
            self.path.unlink(missing_ok=True)
        self._lock.release()

"""One writer of a folder at a time, on POSIX systems and on Windows."""

import os
from pathlib import Path

import filelock

from data_gen.io.images import DataFileError

LOCK = ".lock"
# Long enough to retry if the previous holder removed the file between opening and locking it.
TIMEOUT_S = 0.2


class FolderLock:
    """Locks a folder for one writer: `with FolderLock(folder): ...`.

    The operating system releases the lock when the process ends, so a killed writer leaves no stale
    lock; its file `.lock` is reused and removed by the next writer. Creates a missing folder.
    Raises `DataFileError`, naming the folder, if another process holds it or it is not writable.
    """

    def __init__(self, folder):
        self.folder, self.path = Path(folder), Path(folder) / LOCK
        self._lock = filelock.FileLock(self.path, timeout=TIMEOUT_S, poll_interval=0.01)

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout as error:
            raise DataFileError(
                f"{self.folder}: only one program at a time may write here; another one does"
            ) from error
        except OSError as error:
            raise DataFileError(
                f"{self.folder}: must be a folder that can be written; received '{error}'"
            ) from error
        return self

    def __exit__(self, *_):
        if os.name != "nt":  # on Windows filelock removes the file, once it is closed
            # Before the release: filelock reopens the file if it was removed while waiting for it.
            self.path.unlink(missing_ok=True)
        self._lock.release()

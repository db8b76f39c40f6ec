"""One writer of a folder at a time, on POSIX systems and on Windows."""

import os
from pathlib import Path

import filelock

from data_gen.io.images import DataFileError

LOCK = ".lock"
# Long enough to try again where the holder before removed the file between opening and locking it.
TIMEOUT_S = 0.2


class FolderLock:
    """Holds a folder for one writer: `with FolderLock(folder): ...`.

    The kernel drops the lock with the process, so a killed writer leaves none behind; its file,
    `.lock`, is removed by the next one. Makes the folder where it is missing.
    Raises `DataFileError`, naming the folder, where another process writes there or it cannot be
    written.
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
        if os.name != "nt":  # filelock removes the file there, where no open file can be removed
            # Before the release: filelock opens anew where a file was removed under its hands.
            self.path.unlink(missing_ok=True)
        self._lock.release()

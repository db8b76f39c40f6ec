"""The folder that a dataset is written into: one writer at a time, and whole files only."""

import errno
import fcntl
import os
import re
import shutil
from pathlib import Path

from data_gen.io.images import DataFileError, write_atomic

LOCK = ".lock"
# Temporary names of `write_atomic` for the files of a dataset, and no others.
_LEFT_OVER = re.compile(
    r"\.(dmenet-\d{5}-of-\d{5}\.tfrecord|\d{5,}\.(png|jsonl)|(parameters|dataset)\.json"
    r"|manifest\.jsonl)\.[0-9a-f]{8}\.tmp"
)
# Prefixes of the names in a dataset.
FOLDERS = ("", "image/", "blur_map/", ".jobs/")


def is_left_over(name: str) -> bool:
    """Whether a file's name is a temporary one of a dataset's writer, and of no other program."""
    return bool(_LEFT_OVER.fullmatch(name))


class LocalStore:
    """A local folder, by names relative to it (`image/000001.png`); picklable."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __str__(self):
        return str(self.folder)

    def exists(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, write) -> None:
        """`write(temporary path)`, then the file appears under its name, whole."""
        try:
            write_atomic(self.folder / name, write)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DataFileError(
                f"{self.folder}: the disk must have room for the dataset; received '{error}'. "
                "What is written is whole; the same command continues once there is room"
            ) from error

    def write_bytes(self, name: str, data: bytes) -> None:
        self.write(name, lambda temporary: Path(temporary).write_bytes(data))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Removes a folder that is empty, if it is there."""
        if (self.folder / name).is_dir():
            (self.folder / name).rmdir()

    def remove_left_over(self) -> None:
        """Removes the temporary files of writers that were killed."""
        for folder in FOLDERS:
            for path in (self.folder / folder).glob(".*.tmp"):
                if is_left_over(path.name):
                    path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free


class Lock:
    """Holds a folder for one writer: `with Lock(folder): ...`.

    The kernel drops the lock with the process, so that a killed writer leaves none behind.
    Raises `DataFileError` where another process writes there, or nobody can.
    """

    def __init__(self, folder):
        self.folder, self.path = Path(folder), Path(folder) / LOCK

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while not self._acquired():
                pass
        except BlockingIOError as error:
            raise DataFileError(
                f"{self.folder}: one program at a time must write here; another one does"
            ) from error
        except OSError as error:
            raise DataFileError(
                f"{self.folder}: must be a folder that can be written; received '{error}'"
            ) from error
        return self

    def _acquired(self) -> bool:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one before may have removed the file between opening and locking it.
            if os.fstat(self._file).st_ino == self.path.stat().st_ino:
                return True
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(self._file)
            raise
        os.close(self._file)
        return False

    def __exit__(self, *_):
        self.path.unlink(missing_ok=True)
        os.close(self._file)

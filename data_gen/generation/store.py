"""The folder that a dataset is written to: atomic writes, and removal of temporary files."""

import errno
import re
import shutil
from pathlib import Path

from data_gen.io.atomic import write_atomic
from data_gen.io.errors import DataFileError

# Temporary names that `write_atomic` uses for files of a dataset; nothing else matches.
_LEFT_OVER = re.compile(
    r"\.(dmenet-\d{5}-of-\d{5}\.tfrecord|\d{5,}\.(png|jsonl)|(parameters|dataset)\.json"
    r"|manifest\.jsonl)\.[0-9a-f]{8}\.tmp"
)
# Prefixes of file names in a dataset.
FOLDERS = ("", "image/", "blur_map/", ".jobs/")


def is_left_over(name: str) -> bool:
    """Whether a file name is that of a temporary file left by a dataset writer."""
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
        """Calls `write(temporary path)`, then renames the complete file to `name`."""
        try:
            write_atomic(self.folder / name, write)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DataFileError(
                f"{self.folder}: the disk must have room for the dataset; received '{error}'. "
                "Files written so far are complete; free some space and run the same command again"
            ) from error

    def write_bytes(self, name: str, data: bytes) -> None:
        self.write(name, lambda temporary: Path(temporary).write_bytes(data))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Removes an empty folder, if it exists."""
        if (self.folder / name).is_dir():
            (self.folder / name).rmdir()

    def remove_left_over(self) -> None:
        """Removes the temporary files of killed writers."""
        for folder in FOLDERS:
            for path in (self.folder / folder).glob(".*.tmp"):
                if is_left_over(path.name):
                    path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

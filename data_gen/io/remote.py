"""Folders on object stores, through TensorFlow's own file systems (`tf.io.gfile`).

The wheels of TensorFlow know gs://; of s3:// they know the name alone. `place` gives for such a URL
what reading shards needs of a `pathlib.Path`, and for anything else that Path itself.
"""

import fnmatch
import re
from pathlib import Path
from types import SimpleNamespace

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")


def place(path):
    """A `Path`, or for a URL a `RemotePath`. Raises ValueError where TensorFlow cannot read it."""
    if isinstance(path, Path | RemotePath):
        return path
    return RemotePath(str(path)) if _URL.match(str(path)) else Path(path)


class RemotePath:
    """A URL with the methods of `pathlib.Path` that reading needs; errors are OSError.

    Raises ValueError for a scheme that TensorFlow does not read.
    """

    def __init__(self, url: str):
        import tensorflow as tf  # opening a local folder does not wait for it

        self._gfile, self._error = tf.io.gfile, tf.errors.OpError
        self._url = url.rstrip("/")
        known = sorted(set(self._gfile.get_registered_schemes()) - {"", "file", "ram"})
        scheme = _URL.match(url)[1]
        if scheme not in (*known, "ram"):
            raise ValueError(
                f"a URL must be of a store that TensorFlow reads, {'://, '.join(known)}:// "
                f"(copy or mount others); received {url}"
            )

    def __str__(self) -> str:
        return self._url

    __repr__ = __str__

    def __eq__(self, other) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._url)

    def __lt__(self, other) -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self._url}/{name}")

    @property
    def name(self) -> str:
        return self._url.rsplit("/", 1)[1]

    def is_dir(self) -> bool:
        return self._do(self._gfile.isdir, self._url)

    def exists(self) -> bool:
        return self._do(self._gfile.exists, self._url)

    def iterdir(self):
        names = self._do(self._gfile.listdir, self._url)
        return [self / name.rstrip("/") for name in names]

    def glob(self, pattern: str):
        return [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern)]

    def stat(self):
        return SimpleNamespace(st_size=self._do(self._gfile.stat, self._url).length)

    def open(self, mode: str):
        return self._do(self._gfile.GFile, self._url, mode)

    def read_bytes(self) -> bytes:
        def read():
            with self.open("rb") as file:
                return file.read()

        return self._do(read)

    def _do(self, function, *arguments):
        try:
            return function(*arguments)
        except self._error as error:
            reason = (error.message or type(error).__name__).strip().splitlines()[0]
            raise OSError(f"{self._url}: {reason}") from error

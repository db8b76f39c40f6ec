"""Virtual environments with other versions of TensorFlow, made once and kept in pytest's cache."""

import os
import subprocess
import sys
import venv
from pathlib import Path

from data_gen.io.locks import FolderLock


def python_of(pytestconfig, name: str, packages: list[str], variable: str = "") -> str:
    """The interpreter of the environment `name`, into which pip installs `packages`.

    variable: of the environment, may name the interpreter of a ready one instead.
    """
    ready = os.environ.get(variable, "")
    if ready:
        return ready
    made_of = f"{sys.version}\n{packages}"
    folder = Path(pytestconfig.cache.mkdir(name))
    python, complete = folder / "venv" / "bin" / "python", folder / "complete"
    with FolderLock(folder):
        if not complete.is_file() or complete.read_text() != made_of:
            complete.unlink(missing_ok=True)
            venv.create(folder / "venv", with_pip=True, clear=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
            complete.write_text(made_of)
    return str(python)

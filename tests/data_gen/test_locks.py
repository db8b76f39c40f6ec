"""One writer of a folder at a time."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_gen.io.errors import DataFileError
from data_gen.io.locks import HOLDER, FolderLock
from tests.support.paths import ROOT


def test_one_writer_at_a_time(tmp_path):
    one_at_a_time = pytest.raises(
        DataFileError, match=f"only one program at a time.*another one does, process {os.getpid()}$"
    )
    with FolderLock(tmp_path), one_at_a_time, FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_no_lock(tmp_path):
    code = (
        "import sys, time; from data_gen.io.locks import FolderLock\n"
        "with FolderLock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "held\n"
    named = pytest.raises(DataFileError, match=f"another one does, process {process.pid}$")
    with named, FolderLock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with FolderLock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_holder_that_has_not_yet_named_itself(tmp_path):
    with FolderLock(tmp_path):
        for name in (None, "half a na"):
            (tmp_path / HOLDER).unlink(missing_ok=True)
            if name:
                (tmp_path / HOLDER).write_text(name)
            with pytest.raises(DataFileError, match="another one does$"), FolderLock(tmp_path):
                pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataFileError, match="/file: must be a folder that can be written"):
        FolderLock(tmp_path / "file").__enter__()


def test_many_writers_in_a_row_never_hold_it_together(tmp_path):
    """Each removes the file of the lock when it leaves, while others open it."""
    inside = []

    def write(number):
        for _ in range(20):
            try:
                with FolderLock(tmp_path):
                    inside.append(number)
                    assert len(inside) == 1
                    inside.remove(number)
            except DataFileError:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert list(tmp_path.iterdir()) == []

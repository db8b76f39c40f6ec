"""A dataset's folder: one writer at a time, whole files, nothing of others removed."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from data_gen.generation import store
from data_gen.io.images import DataFileError
from tests.support.paths import ROOT


def test_one_writer_at_a_time(tmp_path):
    one_at_a_time = pytest.raises(DataFileError, match="one program at a time")
    with store.Lock(tmp_path), one_at_a_time, store.Lock(tmp_path):
        pass
    with store.Lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_no_lock(tmp_path):
    code = (
        "import sys, time; from data_gen.generation.store import Lock\n"
        "with Lock(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(DataFileError, match="another one does"), store.Lock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with store.Lock(tmp_path):
        pass


def test_removes_left_over_files_of_its_own_only(tmp_path):
    own = [
        ".dmenet-00000-of-00003.tfrecord.0123abcd.tmp",
        ".dataset.json.0123abcd.tmp",
        ".parameters.json.0123abcd.tmp",
        ".manifest.jsonl.0123abcd.tmp",
        "image/.000001.png.0123abcd.tmp",
        "blur_map/.1000001.png.0123abcd.tmp",
        ".jobs/.00001.jsonl.0123abcd.tmp",
    ]
    others = [".notes.txt.0123abcd.tmp", "image/.000001.png.tmp", "x.tmp", "image/000001.png"]
    for name in (*own, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    store.LocalStore(tmp_path).remove_left_over()
    assert not any((tmp_path / name).exists() for name in own)
    assert all((tmp_path / name).exists() for name in others)


@pytest.mark.parametrize("number, told", [(errno.ENOSPC, True), (errno.EDQUOT, True), (5, False)])
def test_a_full_disk_is_told_as_such(tmp_path, number, told):
    def write(temporary):
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataFileError if told else OSError) as caught:
        store.LocalStore(tmp_path).write("a.png", write)
    assert ("the disk must have room" in str(caught.value)) == told
    assert not list(tmp_path.iterdir())

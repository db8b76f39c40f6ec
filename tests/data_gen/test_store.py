"""A dataset's folder: whole files, nothing of others removed."""

import errno
import os

import pytest

from data_gen.generation import store
from data_gen.io.errors import DataFileError


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

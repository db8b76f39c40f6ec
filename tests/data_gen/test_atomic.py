"""Files appear whole or not at all."""

import os
import subprocess
import sys

import pytest

from data_gen.io import atomic
from tests.support.paths import ROOT


def test_no_half_file_is_left_or_seen(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def write(temporary):
        temporary.write_bytes(b"half")
        # What another program sees at this moment:
        assert path.read_bytes() == b"old"
        assert list(tmp_path.glob("*.png")) == [path]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        atomic.write_atomic(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    atomic.write_text(tmp_path / "new" / "a.txt", "größe\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"gr\xc3\xb6\xc3\x9fe\n"
    atomic.write_bytes(tmp_path / "new" / "a.txt", b"\0\r\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"\0\r\n"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """What a power cut may leave: never the new name with the old content."""
    events, replace, fsync = [], os.replace, os.fsync

    def noted(name, function):
        return lambda *arguments: (events.append(name), function(*arguments))

    monkeypatch.setattr(os, "fsync", noted("fsync", fsync))
    monkeypatch.setattr(os, "replace", noted("replace", replace))
    atomic.write_bytes(tmp_path / "a", b"1")
    assert events[:2] == ["fsync", "replace"]


def test_names_of_other_letters_are_written_where_the_encoding_is_ascii(tmp_path):
    program = "import sys; from data_gen.io.atomic import write_text; write_text(sys.argv[1], 'a')"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name in ("ä.txt", "ä" * 120 + ".txt"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / name)],
            cwd=ROOT,
            env=os.environ | ascii_only,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_text() == "a"

"""Which photos a command finds, and what it calls their outputs."""

import pytest

from data_gen.io.errors import DataFileError
from dmenet_tf.prediction.inputs import find_photos


def found(inputs, out="out"):
    return [str(photo.name) for photo in find_photos(map(str, inputs), out).photos]


def test_files_folders_patterns_and_stdin(tmp_path):
    for name in ("b/x10.jpg", "b/x9.jpg", "b/c/y.PNG", "a.tif", "notes.txt", "b/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert found([tmp_path]) == ["a.tif", "b/c/y.PNG", "b/x9.jpg", "b/x10.jpg"]
    assert found([tmp_path / "b/x9.jpg", tmp_path / "a.tif"]) == ["x9.jpg", "a.tif"]
    assert found([f"{tmp_path}/**/*.[jP]*"]) == ["b/c/y.PNG", "b/x9.jpg", "b/x10.jpg"]
    assert found([f"{tmp_path}/b/x*.jpg"]) == ["x9.jpg", "x10.jpg"]
    assert found(["-"]) == ["stdin"]
    # Given twice, found once; several folders keep their names.
    assert found([tmp_path / "b/x9.jpg", f"{tmp_path}/b/x9*"]) == ["x9.jpg"]
    assert found([tmp_path / "b/c", tmp_path / "b"]) == ["c/y.PNG", "b/x9.jpg", "b/x10.jpg"]
    # A file that is named is taken, whatever its suffix.
    assert found([tmp_path / "notes.txt"]) == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    for wrong in ("nothing.jpg", "empty", "*.gif"):
        with pytest.raises(DataFileError, match=r"an input must (be|hold)"):
            found([tmp_path / wrong])


def test_names_of_outputs_are_distinct(tmp_path):
    for name in ("x/a.jpg", "x/a.png", "y/a.jpg", "y/z/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert found([tmp_path / "x"]) == ["a.jpg", "a.png"]
    files = [tmp_path / name for name in ("x/a.jpg", "y/a.jpg", "y/z/a.jpg", "x/a.png")]
    assert found(files) == ["x/a.jpg", "y/a.jpg", "y/z/a.jpg", "a.png"]


def test_a_shells_pattern_finds_no_thumbnails(tmp_path):
    for name in ("a.jpg", "b/c.jpg", "@eaDir/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert found(sorted(tmp_path.iterdir())) == ["a.jpg", "c.jpg"]
    assert found([f"{tmp_path}/**/*.jpg"]) == ["a.jpg", "b/c.jpg"]
    # A folder that alone is named is meant.
    assert found([tmp_path / "@eaDir"]) == ["a.jpg"]

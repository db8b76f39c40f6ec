"""What lies below a folder, whatever a file server, an archive or a link has put there."""

import os

import pytest

from data_gen.io import search
from data_gen.io.errors import DataFileError


@pytest.fixture
def tree(tmp_path):
    """tree("a.jpg", ...) -> the folder, with these empty files."""

    def tree(*names, root="root"):
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / root

    return tree


def below(root):
    return [str(path.relative_to(root)) for path in search.find_images(root)[0]]


def test_hidden_and_thumbnail_folders_are_left_out(tree):
    root = tree(
        "a.jpg", "b/c.PNG", ".hidden.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg/SYNO.jpg",
        "b/@EADIR/c.jpg", "__MACOSX/._a.jpg", "__MACOSX/a.jpg", "b/._c.jpg", "#recycle/old.jpg",
    )  # fmt: skip
    assert below(root) == ["a.jpg", "b/c.PNG"]
    # A folder that is named itself is searched, whatever its name.
    assert below(root / ".thumbnails") == ["a.jpg"]


def test_linked_folders_are_followed_and_loops_end(tree):
    root, other = tree("a.jpg", "sub/b.jpg"), tree("c.jpg", "d/e.jpg", root="elsewhere")
    (root / "linked").symlink_to(other)
    (root / "file.jpg").symlink_to(other / "c.jpg")
    (root / "sub" / "self").symlink_to(root / "sub")
    (root / "sub" / "up").symlink_to(root)
    (root / "sub" / "above").symlink_to(root.parent)
    (other / "d" / "back").symlink_to(root)
    (root / "nowhere").symlink_to(root / "missing")
    assert below(root) == ["a.jpg", "file.jpg", "linked/c.jpg", "linked/d/e.jpg", "sub/b.jpg"]


def test_a_folder_that_is_linked_as_well_is_found_once_by_its_own_path(tree):
    root = tree("z/photo.jpg")
    (root / "a").symlink_to(root / "z")
    assert below(root) == ["z/photo.jpg"]
    # The root itself may be a link.
    (root.parent / "link").symlink_to(root)
    assert below(root.parent / "link") == ["z/photo.jpg"]


def test_pictures_and_videos_that_are_not_read_are_counted(tree):
    root = tree("a.jpg", "b.MOV", "c/d.mov", "e.jxl", "notes.txt", "a.xmp", "Thumbs.db")
    images, left_out = search.find_images(root)
    assert len(images) == 1 and str(left_out) == "left out: 2 .mov, 1 .jxl"
    assert str(search.find_images(root, recursive=False)[1]) == "left out: 1 .jxl, 1 .mov"
    assert str(search.left_out([root, root / "c"])) == "left out: 3 .mov, 1 .jxl"
    with pytest.raises(DataFileError, match=r"c: .*must hold images.*none; left out: 1 .mov"):
        search.list_images(root / "c")


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX file system")
def test_a_folder_without_permission_is_counted(tree, monkeypatch):
    root, scan = tree("a.jpg", "closed/b.jpg"), os.scandir

    def scandir(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
    images, left_out = search.find_images(root)
    assert len(images) == 1 and str(left_out) == "left out: folders without permission: 1"

"""Which files lie below a folder: one rule for photos, scenes and labels.

Hidden files and folders, and the folders of thumbnails that file servers and archives make, are
left out. Linked folders are followed; each real folder is read once, by its own path where it has
one below the root, and a link to a folder that holds the root is not followed.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from data_gen.io.errors import DataFileError
from data_gen.io.formats import LeftOut, readable_suffixes, readable_titles

# In lower case. `.thumbnails` and the like are hidden already.
MADE_BY_SERVERS = (
    "@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "@tmp", "#snapshot",
)  # fmt: skip
NO_PERMISSION = "folders without permission"


class Files(NamedTuple):
    """`paths` in natural order, and folders that could not be read."""

    paths: list[Path]
    unreadable: list[Path]


def natural_key(text) -> list:
    """Sort key under which 'frame_9' comes before 'frame_10'."""
    parts = re.split(r"(\d+)", str(text))
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]


def is_passed_over(name: str) -> bool:
    """Whether files and folders of this name are left out of a search."""
    return name.startswith(".") or name.lower() in MADE_BY_SERVERS


def is_made_by_server(path: Path) -> bool:
    """Whether a path is a folder of thumbnails or rubbish that a file server has made."""
    return path.name.lower() in MADE_BY_SERVERS and path.is_dir()


def all_files(folder, recursive=True) -> Files:
    """Every file of a folder, by the rule above."""
    root = Path(folder)
    real_root = os.path.realpath(root)
    paths, unreadable, read = [], [], set()
    waiting, links = [root], []
    while waiting or links:
        # Real folders first: what a link shows as well is found by its own path.
        path = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(path)
        if real in read or (path != root and Path(real_root).is_relative_to(real)):
            continue
        read.add(real)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: natural_key(entry.name))
        except OSError:
            unreadable.append(path)
            continue
        for entry in entries:
            if is_passed_over(entry.name):
                continue
            if entry.is_dir():
                if recursive:
                    (links if entry.is_symlink() else waiting).append(path / entry.name)
            elif entry.is_file():
                paths.append(path / entry.name)
    return Files(sorted(paths, key=natural_key), unreadable)


def find_files(folder, suffixes, recursive=True) -> list[Path]:
    """The files of a folder with one of `suffixes` (in lower case), in natural order."""
    return [path for path in all_files(folder, recursive).paths if path.suffix.lower() in suffixes]


def find_images(folder, recursive=True) -> tuple[list[Path], LeftOut]:
    """The pictures of a folder that are read here, and what was left out."""
    found, passed_over = all_files(folder, recursive), LeftOut()
    passed_over.count_files(found.paths)
    if found.unreadable:
        passed_over[NO_PERMISSION] += len(found.unreadable)
    suffixes = readable_suffixes()
    return [path for path in found.paths if path.suffix.lower() in suffixes], passed_over


def left_out(folders) -> LeftOut:
    """What `find_images` leaves out of several folders, with all below them."""
    total = LeftOut()
    for folder in folders:
        total.update(find_images(folder)[1])
    return total


def received(passed_over: LeftOut) -> str:
    """What an error says of a folder without pictures: "none", and what was left out."""
    return f"none; {passed_over}" if passed_over else "none"


def list_images(folder) -> list[Path]:
    """The pictures directly in `folder`, in natural order; `DataFileError` if there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataFileError(f"{folder}: must be a folder of images; it does not exist")
    images, passed_over = find_images(folder, recursive=False)
    if not images:
        raise DataFileError(
            f"{folder}: the folder must hold images ({readable_titles()}); "
            f"received {received(passed_over)}"
        )
    return images

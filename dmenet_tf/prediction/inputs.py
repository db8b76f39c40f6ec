"""Which photos a command is asked for, and what their outputs are called.

An input is a file, a folder (searched recursively), a quoted pattern such as "photos/**/*.jpg", or
`-` for standard input. Outputs mirror the folders below the input; a name keeps its suffix, so that
a.jpg and a.png differ. Where two inputs would still share a name, the folders above are added.
"""

import glob
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data_gen.io.errors import DataFileError
from data_gen.io.formats import LeftOut, readable_suffixes, readable_titles
from data_gen.io.search import find_images, is_made_by_server, is_passed_over, natural_key, received
from dmenet_tf.prediction.summaries import STDIN_NAME

STDIN = "-"


class Photo(NamedTuple):
    """A photo to read and the name of its outputs, relative to their folder."""

    path: Path | None
    """None: standard input."""
    name: Path

    def __str__(self) -> str:
        # A file's name may hold bytes that are not text; an error message must not fail on them.
        text = "standard input" if self.path is None else str(self.path)
        return text.encode(errors="replace").decode()


class Found(NamedTuple):
    """The photos of some inputs, and the pictures and videos beside them that are not read."""

    photos: list[Photo]
    left_out: LeftOut


def find_photos(inputs: Iterable[str], out, is_output=lambda path: False) -> Found:
    """The photos of `inputs`, each once, in the order given (natural order within a folder).

    Files below `out`, if that is inside a folder that is searched, and files for which
    `is_output(path)` is true are left out: a map is not a photo. Of a single file that counts only
    where it lies in `out`, so that "photos/*" with the results among the photos finds the photos.
    Raises `DataFileError` for an input that does not exist, or holds no photo though it is no such
    file.
    """
    inputs, out = [str(value) for value in inputs], Path(out).resolve()
    if len(inputs) > 1:  # what a shell makes of photos/*, folders of thumbnails among them
        inputs = [value for value in inputs if not is_made_by_server(Path(value))] or inputs
    folders = [value for value in inputs if value != STDIN and Path(value).is_dir()]
    found: dict[Path | None, Photo] = {}
    left_out, own = LeftOut(), 0
    for value in inputs:
        photos, more = _photos_of(value, several=len(folders) > 1)
        left_out.update(more)
        is_file = value != STDIN and Path(value).is_file()
        if is_file:
            kept = [p for p in photos if not (_lies_in(p.path, out) and is_output(p.path))]
            own += len(photos) - len(kept)
            photos = kept
        elif value != STDIN:
            photos = [
                p for p in photos if not _is_below(p.path, out, value) and not is_output(p.path)
            ]
        if not photos and not is_file:
            raise DataFileError(
                f"{value}: an input must hold photos ({readable_titles()}); "
                f"received {received(more)}"
            )
        for photo in photos:
            found.setdefault(photo.path and photo.path.resolve(), photo)
    if not found:
        raise DataFileError(
            f"an input must hold photos; received {own} maps or results of photos, which lie in "
            f"the folder of the results, {out}"
        )
    return Found(_told_apart(list(found.values())), left_out)


def _photos_of(value: str, several: bool) -> tuple[list[Photo], LeftOut]:
    path, left_out = Path(value), LeftOut()
    if value == STDIN:
        return [Photo(None, Path(STDIN_NAME))], left_out
    if path.is_dir():
        # Several folders keep their own names, as with cp -r.
        above = Path(path.resolve().name) if several else Path()
        files, left_out = find_images(path)
        return [Photo(file, above / file.relative_to(path)) for file in files], left_out
    if path.is_file():
        return [Photo(path, Path(path.name))], left_out
    if not glob.has_magic(value):
        raise DataFileError(
            f"{value}: an input must be a file, a folder, a pattern or '-'; there is no such path"
        )
    root = _root_of_pattern(path)
    files = [f for f in map(Path, glob.iglob(value, recursive=True)) if f.is_file()]
    files = [f for f in files if not any(map(is_passed_over, f.relative_to(root).parts))]
    left_out.count_files(files)
    images = [file for file in files if file.suffix.lower() in readable_suffixes()]
    return [Photo(f, f.relative_to(root)) for f in sorted(images, key=natural_key)], left_out


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def _root_of_pattern(pattern: Path) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts = pattern.parts[:-1]
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _is_below(path: Path, out: Path, value: str) -> bool:
    """Whether `path` lies in `out`, where that is inside the input itself."""
    root = Path(value) if Path(value).is_dir() else _root_of_pattern(Path(value))
    root = root.resolve()
    return out != root and out.is_relative_to(root) and path.resolve().is_relative_to(out)


def _told_apart(photos: list[Photo]) -> list[Photo]:
    """Photos with distinct names: those that share one take in the folders that differ."""
    same = defaultdict(list)
    for photo in photos:
        same[photo.name].append(photo)
    renamed = []
    for photo in photos:
        paths = [other.path.resolve() for other in same[photo.name] if other.path]
        if len(same[photo.name]) > 1 and photo.path:
            common = os.path.commonpath([path.parent for path in paths])
            photo = photo._replace(name=photo.path.resolve().relative_to(common))
        renamed.append(photo)
    if len({photo.name for photo in renamed}) < len(renamed):
        seen = set()
        twice = next(p for p in renamed if p.name in seen or seen.add(p.name))
        raise DataFileError(
            f"{twice}: each output must have its own name; received two inputs for {twice.name}: "
            "use two commands"
        )
    return renamed

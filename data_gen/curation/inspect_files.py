"""Reads one image and its map completely: their properties and the rules they break."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from data_gen.curation import swapped_colours
from data_gen.dataset import shards
from data_gen.dataset.manifest import MANIFEST_LINES
from data_gen.io.errors import DataFileError
from data_gen.io.images import IMAGE_SUFFIXES, decode_rgb, decode_stored, single_channel
from data_gen.io.search import find_files


@dataclass(frozen=True)
class Pair:
    """Properties of an image and its map; None where a file is missing or unreadable."""

    image_size: tuple[int, int] | None = None
    swapped: bool | None = None
    """Of the image: `swapped_colours.looks_swapped`."""
    map_size: tuple[int, int] | None = None
    map_kind: str | None = None
    low: int | None = None
    high: int | None = None
    map_name: str = ""
    index: int | None = None
    encoding: str | None = None
    problems: tuple[str, ...] = ()


def read_pair(image, blur_map, made: dict) -> Pair:
    """Reads the files that exist, each given as (name, function that returns its bytes)."""
    found, problems = {}, []
    for kind, file, decode in (
        ("image", image, _image_facts),
        ("map", blur_map, _map_facts),
    ):
        if not file:
            continue
        name, read = file
        try:
            data = read(name)
            found |= decode(data, name)
        except DataFileError as error:
            problems.append(str(error))
            continue
        stated = made.get(f"{kind}_sha256")
        if stated not in (None, hashlib.sha256(data).hexdigest()):
            problems.append(
                f"{name}: must be the file described by {MANIFEST_LINES}; its checksum differs"
            )
    if {"image_size", "map_size"} <= found.keys() and found["image_size"] != found["map_size"]:
        problems.append(
            f"{image[0]}, {blur_map[0]}: image and map must have the same size; received "
            f"{list(found['image_size'])} and {list(found['map_size'])}"
        )
    return Pair(**found, problems=tuple(problems))


def _image_facts(data: bytes, name) -> dict:
    image = decode_rgb(data, name)
    return {
        "image_size": image.shape[:2],
        "swapped": swapped_colours.looks_swapped(image),
    }


def _map_facts(data: bytes, name) -> dict:
    stored = decode_stored(data, name)
    if stored.dtype.kind != "u":
        raise DataFileError(f"{name}: a map must hold integers; received {stored.dtype}")
    plane = single_channel(stored, name)
    channels = "one channel" if stored.ndim == 2 else "three equal channels"
    return {
        "map_size": plane.shape,
        "map_kind": f"{8 * stored.itemsize} bits, {channels}",
        "low": int(plane.min()),
        "high": int(plane.max()),
        "map_name": str(name),
    }


def read_record(place, lines) -> Pair:
    file, offset, length = place
    name = f"{file}, record at byte {offset}"
    try:
        with open(file, "rb") as opened:
            opened.seek(offset)
            values = shards.deserialize(opened.read(length), name)
    except (OSError, DataFileError) as error:
        return Pair(problems=(str(error),))
    pair = read_pair(
        (f"{name}, image", lambda _: values["image"]),
        (f"{name}, map", lambda _: values["defocus_map"]),
        lines.get(values["index"], {}),
    )
    encoding = values["encoding"].decode(errors="replace")
    return Pair(**{**vars(pair), "index": values["index"], "encoding": encoding})


def by_stem(folder: Path, problems) -> dict[str, Path]:
    if not folder.is_dir():
        problems.append(f"{folder}: must be a folder of images; it does not exist")
        return {}
    files = {}
    for path in find_files(folder, IMAGE_SUFFIXES):
        if path.parent != folder:
            problems.append(f"{path}: must lie directly in {folder}; subfolders are not read")
        elif path.stem in files:
            problems.append(
                f"{path}: each name must belong to one file; {files[path.stem]} has it too"
            )
        else:
            files[path.stem] = path
    if not files:
        problems.append(f"{folder}: the folder must hold images; received none")
    return files

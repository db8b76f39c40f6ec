"""The files that describe a dataset: dataset.json as a whole, manifest.jsonl image by image.

dataset.json holds `version`, `encoding`, `count` and whatever else the writer keeps (the seed, the
source, the rendering options). It is written last, so its presence means that the dataset is
complete.

manifest.jsonl has one JSON object per line: how each image was made. Keys: `index`, `seed`, `name`,
`file` (with `record`, its place in the shard, or `map_file`), `scene`, `source` (its `image` and
`depth` file relative to root number `root`; null for procedural scenes), `encoding`, `sampler`,
`crop`, `height`, `width`, `focus_distance`, `alpha_px`, `near`, `far` (bounds of the scene's
depth), `layers`, `image_sha256` and `map_sha256` (of the PNG bytes). Only `index` is required.
"""

import json
from pathlib import Path

from data_gen import optics
from data_gen.io.atomic import write_text
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_bytes
from data_gen.io.remote import place

VERSION = 1
MANIFEST = "dataset.json"
MANIFEST_LINES = "manifest.jsonl"
PARAMETERS = "parameters.json"  # the parameters of the dataset, written first

# --- dataset.json ------------------------------------------------------------------------------


def write_manifest(folder, encoding: str, count: int, **about):
    """Marks a dataset as complete; `about`: anything else worth keeping, such as the seed."""
    write_text(Path(folder) / MANIFEST, manifest_text(encoding, count, **about))


def manifest_text(encoding: str, count: int, **about) -> str:
    """The text of dataset.json."""
    optics.ENCODINGS[encoding]  # an unknown name must not get into a manifest
    manifest = {"version": VERSION, "encoding": encoding, "count": count, **about}
    return json.dumps(manifest, indent=2) + "\n"


def read_manifest(folder) -> dict:
    """dataset.json of a folder; `DataFileError` if it is missing or has another version."""
    path = place(folder) / MANIFEST
    try:
        manifest = json.loads(read_bytes(path))
        known = manifest["version"] == VERSION and manifest["encoding"] in optics.ENCODINGS
        known = known and isinstance(manifest["count"], int)
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"{path}: a dataset must have a valid {MANIFEST}, written when it is complete ({error})"
        ) from error
    if not known:
        raise DataFileError(
            f"{path}: version must be {VERSION}, encoding one of {', '.join(optics.ENCODINGS)}, "
            f"count an integer; received {manifest}"
        )
    return manifest


def check_count(folder, manifest: dict, count: int) -> None:
    """`DataFileError` unless a dataset has as many examples as dataset.json states."""
    if count != manifest["count"]:
        raise DataFileError(
            f"{folder}: must hold the {manifest['count']} examples that {MANIFEST} states; "
            f"received {count}"
        )


# --- manifest.jsonl ----------------------------------------------------------------------------


def line_text(about: dict) -> str:
    """The line of an image; `about` contains at least its `index`."""
    return json.dumps(about, ensure_ascii=False) + "\n"


def read_lines(folder) -> tuple[dict[int, dict], list[str]]:
    """({index: object of its line}, problems of other lines); ({}, []) without the file."""
    path = Path(folder) / MANIFEST_LINES
    if not path.exists():
        return {}, []
    lines, problems = {}, []
    for number, text in enumerate(read_bytes(path).decode(errors="replace").splitlines(), 1):
        try:
            line = json.loads(text)
            index = int(line["index"])
        except (ValueError, KeyError, TypeError) as error:
            problems.append(
                f"{path}, line {number}: must be a JSON object with an index ({error!r})"
            )
            continue
        if index in lines:
            problems.append(
                f"{path}, line {number}: index {index} is already used by an earlier line"
            )
        lines[index] = line
    return lines, problems

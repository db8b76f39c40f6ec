"""A map in a few figures: NAME.json of each photo, and the tables of a folder.

| field | meaning |
| --- | --- |
| `share_sharp` | share of pixels with sigma_px below `sharp_below_px` (`sharpness.py`) |
| `sharpest_sigma_px` | sigma that the sharpest tenth of the photo stays below |
| `median_sigma_px` | median of sigma over the photo |

All in pixels of the photo. `sharpest_sigma_px` tells a missed focus from a shallow one: it is small
where at least a tenth of the photo is sharp, however blurred the rest, and large where nothing is.
It does not see a subject smaller than a tenth of the photo. (Its predecessor, 1 -
sharpest_sigma_px / sigma_max_px, was above 0.9 for nearly every photo; a server's replies still
have it as `focus_score`.)

NAME.json is written last, when all formats of a map are complete. It holds what they were made
with, so it also tells which photos of an interrupted folder are done.
"""

import csv
import dataclasses
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from data_gen.io.atomic import write_atomic
from data_gen.io.formats import format_of

SUFFIXES = {  # of a map's formats, which `map_files.py` writes
    "colour": ".colour.png",
    "png16": ".sigma16.png",
    "tiff": ".sigma.tiff",
    "npy": ".sigma.npy",
    "overlay": ".overlay.png",
    "side": ".side.png",
}
SUMMARY_SUFFIX = ".json"
# Where a map's file says what it holds.
PNG_KEY, TIFF_DESCRIPTION = "DMENet", 270
STDIN_NAME = "stdin"  # of the outputs of a photo that came through a pipe
# What `apply` calls its pictures: NAME.jpg.magnified.png.
RESULTS = ("magnified", "refocused", "depth16", "mask", "cutout", "deblurred")
# The longest suffix of any output, and the longest name that a file system takes, in bytes.
_SUFFIX_BYTES, _NAME_BYTES = 16, 255
_HASH_BYTES = 4
KIND = "DMENet-TF summary of a defocus map"
TABLE_JSON, TABLE_CSV = "summary.json", "summary.csv"
COLUMNS = (
    "photo", "status", "width", "height", "share_sharp", "sharp_below_px", "sharpest_sigma_px",
    "median_sigma_px", "sigma_max_px", "seconds", "model", "error",
)  # fmt: skip
_SHARPEST_SHARE = 0.1


def measure(sigma_px: np.ndarray, sharp_below_px: float) -> dict[str, float]:
    """The figures of a map, [H, W], as in the table above.

    sharp_below_px: of `sharpness.sharp_below_px`, in pixels of the photo.
    """
    return {
        "share_sharp": float(np.mean(sigma_px < sharp_below_px)),
        "sharp_below_px": sharp_below_px,
        "sharpest_sigma_px": float(np.quantile(sigma_px, _SHARPEST_SHARE)),
        "median_sigma_px": float(np.median(sigma_px)),
    }


def summary(photo, shape, figures: dict, seconds: float, metadata, made_with: dict) -> dict:
    """What NAME.json holds.

    `metadata`: `metadata.Metadata`. `made_with`: all that the files depend on, by which a later
    command knows whether they are still valid.
    """
    height, width = shape
    return {
        "kind": KIND,
        "photo": str(photo),
        "status": "ok",
        "width": width,
        "height": height,
        **figures,
        "seconds": round(seconds, 3),
        **dataclasses.asdict(metadata),
        "made_with": made_with,
    }


def write_summary(path, values: dict) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_summary(path) -> dict | None:
    """What `write_summary` wrote; None if the file is missing or something else."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("kind") == KIND else None


def forms_present(out: Path, name: Path) -> list[str]:
    """Formats of a photo's map that are in `out`."""
    return [form for form, suffix in SUFFIXES.items() if output_path(out, name, suffix).is_file()]


def output_path(out: Path, name: Path, suffix: str) -> Path:
    """Where a photo's output is: OUT/folders/NAME.jpg.colour.png.

    A name so long that an output's would be longer than 255 bytes is cut, and gets a hash of the
    whole one: NAM~1a2b3c4d.jpg.colour.png.
    """
    return out / name.with_name(short_name(name.name) + suffix)


def short_name(name: str) -> str:
    """A file's name, cut to what leaves room for any output's suffix."""
    most = _NAME_BYTES - _SUFFIX_BYTES
    whole = os.fsencode(name)
    if len(whole) <= most:
        return name
    ending = os.fsencode(Path(name).suffix)
    ending = ending if len(ending) <= _SUFFIX_BYTES else b""
    hashed = b"~" + hashlib.blake2b(whole, digest_size=_HASH_BYTES).hexdigest().encode()
    cut = whole[: most - len(hashed) - len(ending)]
    while cut and (cut[-1] & 0xC0) == 0x80:  # not within a letter of UTF-8: off with its rest
        cut = cut[:-1]
    if cut and cut[-1] >= 0xC0:
        cut = cut[:-1]
    return os.fsdecode(cut + hashed + ending)


def is_output(path: Path) -> bool:
    """Whether a file was left among the photos by `predict` or `apply`, and is no photo itself.

    A map, if its photo's NAME.json is beside it or it says so itself; a result of `apply` by its
    name, as NAME.jpg.magnified.png, where NAME.jpg is called as photos are, or is there; summaries
    and tables.
    """
    if path.name in (TABLE_JSON, TABLE_CSV) or path.suffix == ".npy":
        return True
    if path.suffix == SUMMARY_SUFFIX:
        return read_summary(path) is not None
    for suffix in SUFFIXES.values():
        if path.name.endswith(suffix):
            photo = path.name.removesuffix(suffix)
            summary = read_summary(path.with_name(photo + SUMMARY_SUFFIX))
            return summary is not None or has_map_metadata(path)
    photo, _, kind = path.stem.rpartition(".")
    if kind not in RESULTS or not photo:
        return False
    of_photo = format_of(Path(photo).suffix) is not None or photo == STDIN_NAME
    return of_photo or path.with_name(photo).is_file()


def has_map_metadata(path: Path) -> bool:
    """Whether a PNG or TIFF has the metadata of a map, which `map_files` writes."""
    try:
        with Image.open(path, formats=("PNG", "TIFF")) as opened:
            tags = opened.tag_v2 if opened.format == "TIFF" else {}
            text = opened.info.get(PNG_KEY) or tags.get(TIFF_DESCRIPTION, "")
        return "sigma_max_px" in json.loads(text)
    except Exception:  # Pillow's decoders raise nearly every type there is
        return False


def write_tables(out: Path, failed: dict[str, str]) -> None:
    """OUT/summary.json and summary.csv: a row for every map below `out` and every failed photo.

    failed: {photo: what is wrong with it}.
    """
    rows = [read_summary(path) for path in sorted(out.rglob(f"*{SUMMARY_SUFFIX}"))]
    rows = [row for row in rows if row is not None and row["photo"] not in failed]
    rows += [{"photo": p, "status": "unreadable", "error": e} for p, e in failed.items()]
    rows = [{name: row[name] for name in COLUMNS if name in row} for row in rows]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    for name, text in (
        (TABLE_JSON, json.dumps(rows, indent=2) + "\n"),
        (TABLE_CSV, table.getvalue()),
    ):
        write_atomic(out / name, lambda t, text=text: t.write_bytes(text.encode(errors="replace")))

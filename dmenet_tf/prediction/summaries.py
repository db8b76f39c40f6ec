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
import io
import json
from pathlib import Path

import numpy as np

from data_gen.io.images import IMAGE_SUFFIXES, write_atomic

SUFFIXES = {  # of a map's formats, which `map_files.py` writes
    "colour": ".colour.png",
    "png16": ".sigma16.png",
    "tiff": ".sigma.tiff",
    "npy": ".sigma.npy",
    "overlay": ".overlay.png",
    "side": ".side.png",
}
SUMMARY_SUFFIX = ".json"
# What `apply` calls its pictures: NAME.jpg.magnified.png.
RESULTS = ("magnified", "refocused", "depth16", "mask", "cutout", "deblurred")
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
    """Where a photo's output is: OUT/folders/NAME.jpg.colour.png."""
    return out / name.with_name(name.name + suffix)


def is_output(path: Path) -> bool:
    """Whether an image was left among the photos by `predict` or `apply`, and is no photo itself.

    A map, if its photo's NAME.json is beside it; a result of `apply` by its name alone, as
    NAME.jpg.magnified.png.
    """
    for suffix in SUFFIXES.values():
        if path.name.endswith(suffix):
            photo = path.name.removesuffix(suffix)
            return read_summary(path.with_name(photo + SUMMARY_SUFFIX)) is not None
    photo, _, kind = path.stem.rpartition(".")
    return kind in RESULTS and Path(photo).suffix.lower() in IMAGE_SUFFIXES


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

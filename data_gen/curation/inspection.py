"""Inspects a folder, a dataset of images and maps or RGB-D scenes, and lists all problems."""

import json
from pathlib import Path

from data_gen.curation.inspect_dataset import Report, inspect_folders, inspect_records
from data_gen.curation.inspect_scenes import inspect_scenes
from data_gen.dataset import shards
from data_gen.dataset.manifest import MANIFEST, PARAMETERS
from data_gen.io.errors import DataFileError

MAX_SCENES = 60


def inspect(root, encoding="auto", progress=iter) -> Report:
    """Reads the whole folder; everything wrong with it is in the report's `problems`.

    Raises `DataFileError` if the folder does not exist.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataFileError(f"{root}: must be a folder; it does not exist")
    layout = _written_layout(root)
    if shards.is_records(root) or layout == "records":
        return inspect_records(root, encoding, progress)
    if layout == "folders" or (root / "blur_map").is_dir():
        return inspect_folders(root, encoding, progress)
    report = inspect_scenes(root, progress)
    if not report.scenes:
        below = [p for p in root.iterdir() if p.is_dir()]
        found = sorted(p for p in below if (p / "blur_map").is_dir() or shards.is_records(p))
        report.notes += [f"{path} holds a dataset: inspect it" for path in found]
    return report


def _written_layout(root) -> str | None:
    """The layout stated by parameters.json or dataset.json."""
    for name in (PARAMETERS, MANIFEST):
        try:
            return json.loads((root / name).read_text(encoding="utf-8"))["layout"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the inspection itself reports damaged files
    return None


def as_text(report: Report) -> str:
    """The report as text."""
    lines = [f"{report.folder}: {report.layout}"]
    width = max(map(len, report.facts), default=0)
    lines += [f"  {name:<{width}}  {value}" for name, value in report.facts.items()]
    lines += _scene_table([row for row in report.scenes if "problem" not in row])
    for title, sentences in (("note", report.notes), ("PROBLEM", report.problems)):
        lines += [f"{title}: {sentence}" for sentence in sentences]
    found = len(report.problems)
    lines.append(f"{found} problem{'s' * (found != 1)}" if found else "nothing wrong found")
    return "\n".join(lines)


def _scene_table(rows) -> list[str]:
    if not rows:
        return []
    width = max(len(row["name"]) for row in rows[:MAX_SCENES])
    lines = [
        f"  {'scene':<{width}}  {'size':>11}  {'near':>10}  {'far':>10}  unknown    sky  depth file"
    ]
    for row in rows[:MAX_SCENES]:
        size = f"{row['width']} x {row['height']}"
        lines.append(
            f"  {row['name']:<{width}}  {size:>11}  {row['near']:>10.4g}  {row['far']:>10.4g}  "
            f"{row['unknown']:>7.1%}  {row['sky']:>5.1%}  {row['kind']}"
        )
    if len(rows) > MAX_SCENES:
        lines.append(f"  ... and {len(rows) - MAX_SCENES} more; --json lists all")
    return lines

"""Inspects a folder of RGB-D scenes: layout, depth ranges, share of unknown depth and sky.

Every scene is read completely by the rules of `sources/depth.py`; unreadable ones are problems.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_gen.curation import swapped_colours
from data_gen.curation.inspect_dataset import Report
from data_gen.io import parallel, search
from data_gen.io.errors import DataFileError
from data_gen.sources import layouts, plausibility
from data_gen.sources.depth import known_depth

MANY_UNKNOWN = 0.3


def inspect_scenes(root: Path, progress: Callable = iter) -> Report:
    """A folder of RGB-D scenes in one of the layouts of `layouts.py`."""
    report = Report(str(root), "RGB-D scenes")
    if left_out := search.left_out([root]):
        report.notes.append(str(left_out))
    try:
        layout, scenes = layouts.find_scenes(root, layouts.LAYOUTS)
    except layouts.UnpairedError as error:
        report.problems += error.problems
        return report
    except DataFileError as error:
        report.problems.append(str(error))
        return report
    report.layout = f"RGB-D scenes, layout '{layout}'"
    done = parallel.ordered(lambda i: _examine(scenes[i]), len(scenes))
    for _ in progress(range(len(scenes))):
        row = next(done)
        report.scenes.append(row)
        if "problem" in row:
            report.problems.append(row["problem"])
    whole = [row for row in report.scenes if "problem" not in row]
    report.facts |= {
        "scenes": len(scenes),
        "depth files": "; ".join(
            f"{kind} ({n})" for kind, n in Counter(_kind(scene) for scene in scenes).most_common()
        ),
    }
    if whole:
        unknown, sky = (np.array([row[name] for row in whole]) for name in ("unknown", "sky"))
        report.facts["unknown depth"] = (
            f"{unknown.mean():.1%} of pixels, {unknown.max():.1%} at most"
        )
        nearer = [row["nearer_below"] for row in whole if row["kind"] == "distances"]
        if layout == "folder" and (note := plausibility.inverse_note(root, nearer)):
            report.notes.append(note)
        report.facts["sky"] = f"{sky.mean():.1%} of pixels, {sky.max():.1%} at most"
    report.notes += swapped_colours.notes((row["name"], row.pop("swapped")) for row in whole)
    for row in whole:
        if row["far"] <= row["near"]:
            report.notes.append(f"{row['name']}: flat, so no lens can blur it")
        if row["unknown"] > MANY_UNKNOWN:
            report.notes.append(
                f"{row['name']}: {row['unknown']:.0%} of its depth is unknown and filled from "
                "the nearest known pixels"
            )
    return report


def _kind(scene) -> str:
    if not scene.inverse:
        return "distances"
    return "disparity, calibrated" if scene.scale != 1 else "disparity"


def _examine(scene) -> dict:
    """A row of the report: what was read, or the problem."""
    row = {"name": scene.name, "image": str(scene.image), "depth": str(scene.depth)}
    try:
        image, depth = scene.read()
        how = scene.inverse, scene.scale, scene.offset
        known = known_depth(scene.depth, *how, scene.mask, scene.ray_focal_widths)
    except DataFileError as error:
        return {**row, "problem": str(error)}
    return {
        **row,
        "width": image.shape[1],
        "height": image.shape[0],
        "kind": _kind(scene),
        "swapped": swapped_colours.looks_swapped(image),
        "near": float(depth.min()),
        "far": float(depth.max()),
        "nearer_below": plausibility.nearer_below(depth),
        "unknown": float(np.isnan(known).mean()),
        "sky": float(np.isposinf(known).mean()),
    }

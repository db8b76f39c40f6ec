"""The report of `dedup.py`: lists, a contact sheet of the groups, a histogram of distances."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps

from data_gen.io.atomic import write_atomic, write_text
from data_gen.io.images import write_png
from data_gen.sources.base import read_image

THUMB, GAP, LINE = (176, 132), 8, 16  # pixels; THUMB is width, height
COLUMNS, MAX_ROWS = 6, 25
PAPER, FRAME, INK, FAINT = (255, 255, 255), (205, 205, 205), (30, 30, 30), (120, 120, 120)


def write_report(folder: Path, source, groups, about: dict) -> None:
    """Writes kept.txt (a name a line), report.json, distances.png and, last, merged.png.

    Args:
        source: as `base.read_image` takes it, with `len` and `name(i)`.
        groups: `dedup.Groups` of its images.
        about: how they were compared, for report.json.
    """
    kept, merged = groups.kept, groups.merged()
    names = "".join(f"{source.name(i)}\n" for i in kept)
    write_text(folder / "kept.txt", names)
    counts = {"images": len(source), "kept": len(kept), "merged_groups": len(merged)}
    listed = [
        {
            "kept": source.name(leader),
            "merged": [{"name": source.name(i), "distance": int(groups.distance[i])} for i in left],
        }
        for leader, left in merged
    ]
    text = json.dumps({**about, **counts, "groups": listed}, indent=2, ensure_ascii=False) + "\n"
    write_text(folder / "report.json", text)
    save_distances(folder / "distances.png", groups.distance[1:], groups.threshold)
    save_merged(folder / "merged.png", source, merged, groups.distance)


def save_merged(path: Path, source, merged, distance) -> None:
    """Writes the contact sheet as a PNG: a frame per group, the kept image first in it.

    Args:
        source: as `base.read_image` takes it, with `name(i)`.
        merged: (kept index, indices left out for it) per group, in display order. Groups beyond
            the last row and members beyond its end are only counted.
        distance: bits per index, written under each image that was left out.
    """
    places, rows = _arrange(merged)
    cell, height = THUMB[0] + GAP, THUMB[1] + 2 * LINE + 2 * GAP
    size = (GAP + COLUMNS * cell, 2 * LINE + max(rows, 1) * height)
    sheet, font = Image.new("RGB", size, PAPER), ImageFont.load_default(12)
    draw = ImageDraw.Draw(sheet)
    more = f", {len(merged) - len(places)} of them not shown" if len(merged) > len(places) else ""
    title = f"{len(merged)} groups{more}. First: kept; then: left out, bits from it, farthest first"
    draw.text((GAP, LINE // 2), title, INK, font)
    for (row, column), (leader, members) in zip(places, merged, strict=False):
        shown = [leader, *members][:COLUMNS]
        left, top = GAP + column * cell, 2 * LINE + row * height
        corner = (left + len(shown) * cell - GAP, top + height - GAP)
        draw.rectangle((left - GAP // 2, top - GAP // 2, *corner), outline=FRAME)
        for i in shown:
            thumb = ImageOps.contain(Image.fromarray(read_image(source, i)), THUMB)
            sheet.paste(thumb, (left + (THUMB[0] - thumb.width) // 2, top))
            label = f"kept, for {len(members)}" if i == leader else f"{distance[i]} bits"
            if i == shown[-1] and len(members) >= COLUMNS:
                label += f"   (+ {1 + len(members) - COLUMNS} more)"
            draw.text((left, top + THUMB[1] + 1), label, INK, font)
            draw.text((left, top + THUMB[1] + LINE), source.name(i)[-26:], FAINT, font)
            left += cell
    write_png(path, np.asarray(sheet))


def _arrange(merged):
    """(row, column) of the first groups, side by side where they fit, and the number of rows."""
    places, row, column = [], 0, 0
    for _, members in merged:
        width = min(1 + len(members), COLUMNS)
        if column + width > COLUMNS:
            row, column = row + 1, 0
        if row == MAX_ROWS:
            break
        places.append((row, column))
        column += width
    return places, (places[-1][0] + 1 if places else 0)


def save_distances(path: Path, distance, threshold: int) -> None:
    """Writes a histogram of each image's `distance` to the nearest kept before it, as a PNG."""
    figure = Figure(figsize=(8, 3.2), dpi=110, layout="constrained")
    axis = figure.subplots()
    # Distances of one hash are mostly even (half of its bits are set): bins of 4 hide the comb.
    bins = np.arange(0, max(132, np.max(distance, initial=0) + 5), 4)
    axis.hist(distance, bins=bins, color="#4878a8")
    axis.axvline(
        threshold, color="#c44e52", label=f"threshold, {threshold} bits: left out up to it"
    )
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("bits between an image and the nearest one kept before it")
    axis.set_ylabel("images")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    write_atomic(path, lambda temporary: figure.savefig(temporary, format="png"))

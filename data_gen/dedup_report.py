"""What `dedup.py` merged: lists, a contact sheet of the groups, a histogram of distances."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps

from data_gen.imagefiles import write_atomic, write_png
from data_gen.sources import read_image

THUMB, GAP, LINE = (176, 132), 6, 16  # pixels; THUMB is width, height
MOST_ROWS, MOST_COLUMNS = 25, 7
INK, FAINT = (30, 30, 30), (120, 120, 120)


def write_report(folder: Path, source, groups, about: dict) -> None:
    """Writes kept.txt (a name a line), report.json, distances.png and, last, merged.png.

    Args:
        source: as `sources.read_image` takes it, with `len` and `name(i)`.
        groups: `dedup.Groups` of its images.
        about: how they were compared, for report.json.
    """
    kept, merged = groups.kept, groups.merged()
    names = "".join(f"{source.name(i)}\n" for i in kept)
    write_atomic(folder / "kept.txt", lambda path: path.write_text(names, encoding="utf-8"))
    counts = {"images": len(source), "kept": len(kept), "merged_groups": len(merged)}
    listed = [
        {
            "kept": source.name(leader),
            "merged": [{"name": source.name(i), "distance": int(groups.distance[i])} for i in left],
        }
        for leader, left in merged
    ]
    text = json.dumps({**about, **counts, "groups": listed}, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / "report.json", lambda path: path.write_text(text, encoding="utf-8"))
    save_distances(folder / "distances.png", groups.distance[1:], groups.threshold)
    save_merged(folder / "merged.png", source, merged, groups.distance)


def save_merged(path: Path, source, merged, distance) -> None:
    """Writes the contact sheet as a PNG: a row per group, the kept image first.

    Args:
        source: as `sources.read_image` takes it, with `name(i)`.
        merged: (kept index, indices left out for it) per group, in the order to be shown; of both
            rows and columns the first ones are shown and the number of the others is written.
        distance: bits per index, written under each image that was left out.
    """
    shown = merged[:MOST_ROWS]
    columns = max((min(1 + len(members), MOST_COLUMNS) for _, members in shown), default=3)
    width, height = THUMB[0] + GAP, THUMB[1] + 2 * LINE + GAP
    sheet = Image.new("RGB", (GAP + columns * width, 2 * LINE + len(shown) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    more = f"; {len(merged) - len(shown)} groups more" if len(merged) > len(shown) else ""
    title = f"{len(merged)} groups{more}. First: kept. Then: left out, bits from it, farthest first"
    draw.text((GAP, LINE // 2), title, INK, font)
    for row, (leader, members) in enumerate(shown):
        top = 2 * LINE + row * height
        for column, i in enumerate([leader, *members][:columns]):
            left = GAP + column * width
            thumb = ImageOps.contain(Image.fromarray(read_image(source, i)), THUMB)
            sheet.paste(thumb, (left + (THUMB[0] - thumb.width) // 2, top))
            label = f"{distance[i]} bits" if column else f"kept, for {len(members)}"
            hidden = 1 + len(members) - columns
            if column == columns - 1 and hidden > 0:
                label += f"   (+ {hidden} more)"
            draw.text((left, top + THUMB[1] + 1), label, INK, font)
            draw.text((left, top + THUMB[1] + LINE), source.name(i)[-28:], FAINT, font)
    write_png(path, np.asarray(sheet))


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

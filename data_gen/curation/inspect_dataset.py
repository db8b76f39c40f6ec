"""Inspects a dataset of images and maps on disk and lists everything that is wrong with it.

For the authors' folders (image/, blur_map/) and for records. It does not stop at the first problem:
every file is read completely, and each broken rule is a sentence that begins with the file name.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_gen import optics
from data_gen.curation import swapped_colours
from data_gen.curation.inspect_files import Pair, by_stem, read_pair, read_record
from data_gen.dataset import encoding_detection, shards
from data_gen.dataset.manifest import (
    MANIFEST,
    MANIFEST_LINES,
    PARAMETERS,
    read_lines,
    read_manifest,
)
from data_gen.io import parallel
from data_gen.io.errors import DataFileError
from data_gen.io.images import read_bytes
from data_gen.io.search import natural_key


@dataclass
class Report:
    """Findings about a folder. `problems`: broken rules; `notes`: other things worth knowing."""

    folder: str
    layout: str
    facts: dict = field(default_factory=dict)
    scenes: list[dict] = field(default_factory=list)
    """RGB-D sources only: one row per scene."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect_folders(root: Path, encoding="auto", progress: Callable = iter) -> Report:
    """A folder with image/ and blur_map/."""
    report = Report(str(root), "folders image/ and blur_map/")
    images, maps = (by_stem(root / name, report.problems) for name in ("image", "blur_map"))
    stems = sorted(images.keys() | maps.keys(), key=natural_key)
    for stem in stems:
        for have, lack, where in ((images, maps, "blur_map"), (maps, images, "image")):
            if stem in have and stem not in lack:
                report.problems.append(
                    f"{have[stem]}: must have a partner {root / where / stem}.png; it is missing"
                )
    lines = _lines(root, report)

    def examine(i):
        stem = stems[i]
        made = lines.get(int(stem), {}) if stem.isdecimal() else {}
        return read_pair(
            *(files.get(stem) and (files[stem], read_bytes) for files in (images, maps)), made
        )

    pairs = _read_all(examine, len(stems), progress, report)
    both = len(images.keys() & maps.keys())
    report.facts["pairs"] = both
    _about_dataset(root, report, both)
    _about_pairs(report, pairs, encoding, _stated(root, report))
    return report


def inspect_records(root: Path, encoding="auto", progress: Callable = iter) -> Report:
    """A folder of TFRecord shards."""
    report = Report(str(root), "TFRecord shards")
    files = sorted(p for p in root.iterdir() if shards.SHARD_PATTERN.fullmatch(p.name))
    places = []
    try:
        shards.complete_shards(root)
    except DataFileError as error:
        report.problems.append(str(error))
    for file in files:
        try:
            for place in shards.scan(file):
                places.append((file, *place))
        except DataFileError as error:
            report.problems.append(str(error))
    lines = _lines(root, report)
    pairs = _read_all(lambda i: read_record(places[i], lines), len(places), progress, report)
    report.facts |= {"shards": len(files), "records": len(places)}
    _about_dataset(root, report, len(places))
    indices = Counter(pair.index for pair in pairs if pair.index is not None)
    wrong = [index for index, times in indices.items() if times > 1]
    wrong += sorted(set(range(len(places))) - indices.keys())
    if wrong:
        report.problems.append(
            f"{root}: each index 0 .. {len(places) - 1} must occur in exactly one record; missing "
            f"or repeated: {', '.join(map(str, wrong[:10]))}{' ...' if len(wrong) > 10 else ''}"
        )
    stated = _stated(root, report)
    stated = stated or next((pair.encoding for pair in pairs if pair.encoding), None)
    for other in sorted({pair.encoding for pair in pairs} - {stated, None}):
        report.problems.append(
            f"{root}: all records must have the encoding '{stated}'; some have '{other}'"
        )
    _about_pairs(report, pairs, encoding, stated)
    return report


# --- reading -----------------------------------------------------------------------------------


def _read_all(examine, count, progress, report) -> list[Pair]:
    done, pairs = parallel.ordered(examine, count), []
    for _ in progress(range(count)):
        pairs.append(next(done))
        report.problems += pairs[-1].problems
    return pairs


# --- the folder as a whole ---------------------------------------------------------------------


def _lines(root, report) -> dict[int, dict]:
    """The lines of manifest.jsonl; its problems go into the report."""
    lines, problems = read_lines(root)
    report.problems += problems
    if lines:
        report.facts[MANIFEST_LINES] = f"{len(lines)} lines"
    return lines


def _stated(root, report) -> str | None:
    """The encoding stated by dataset.json or parameters.json; a damaged file is a problem."""
    if (root / MANIFEST).exists():
        try:
            return read_manifest(root)["encoding"]
        except DataFileError as error:
            report.problems.append(str(error))
    if (root / PARAMETERS).exists():
        try:
            return json.loads(read_bytes(root / PARAMETERS)).get("encoding")
        except (ValueError, AttributeError) as error:
            report.problems.append(f"{root / PARAMETERS}: must be a JSON object ({error})")
    return None


def _about_dataset(root, report, count) -> None:
    """Whether the dataset is complete, and files left by killed writers."""
    ours = (root / PARAMETERS).exists() or report.layout.startswith("TFRecord")
    if (root / MANIFEST).exists():
        try:
            stated = read_manifest(root)["count"]
        except DataFileError:
            stated = count  # reported with the encoding
        if stated != count:
            report.problems.append(
                f"{root}: must hold the {stated} examples that {MANIFEST} states; received {count}"
            )
    elif ours:
        report.problems.append(
            f"{root}: a complete dataset must have a {MANIFEST}; it is missing: run the same "
            "data_gen command again to continue"
        )
    lines = report.facts.get(MANIFEST_LINES)
    if lines and lines != f"{count} lines":
        report.problems.append(
            f"{root / MANIFEST_LINES}: must have {count} lines; received {lines}"
        )
    report.problems += [
        f"{path}: a temporary file left by a killed writer; it can be deleted"
        for path in sorted(root.rglob(".*.tmp"))
    ]


def _about_pairs(report, pairs: list[Pair], encoding: str, stated: str | None) -> None:
    """Encoding, ranges, sizes and kinds of what could be read."""
    report.notes += swapped_colours.notes(("", pair.swapped) for pair in pairs)
    whole = [pair for pair in pairs if pair.low is not None]
    sizes = Counter(pair.map_size for pair in whole)
    if sizes:
        listed = [f"{width} x {height} ({n})" for (height, width), n in sizes.most_common(5)]
        report.facts["sizes"] = ", ".join(listed) + (" ..." if len(sizes) > 5 else "")
    kinds = Counter(pair.map_kind for pair in whole)
    report.facts["maps"] = "; ".join(f"{kind} ({n})" for kind, n in kinds.most_common())
    if len(kinds) > 1:
        report.notes.append("the maps have different formats; all of them are read")
    if not whole:
        return
    low, high = min(pair.low for pair in whole), max(pair.high for pair in whole)
    report.facts["stored"] = f"{low} .. {high}"
    if encoding not in ("auto", stated) and stated:
        report.problems.append(
            f"{report.folder}: encoding must be 'auto' or what the dataset states, '{stated}'; "
            f"received '{encoding}'"
        )
    name, reason = encoding, "as given on the command line"
    if stated:
        name, reason = stated, "as stated by the dataset"
    elif encoding == "auto":
        name, reason = encoding_detection.detect([(pair.low, pair.high) for pair in whole])
    report.facts["encoding"] = f"{name or 'unknown'}: {reason}"
    if name not in optics.ENCODINGS:
        report.problems.append(
            f"{report.folder}: the encoding of the maps must be given with --encoding, or follow "
            f"from {MANIFEST} or the values; received values from {low} to {high}"
        )
        return
    _about_values(report, whole, optics.ENCODINGS[name], low, high)


def _about_values(report, whole, scheme, low, high) -> None:
    """Ranges in units, and values that the encoding forbids or makes doubtful."""
    sigma_px = scheme.decode(np.array([min(low, scheme.stored_max), min(high, scheme.stored_max)]))
    coc_px = optics.sigma_to_coc(sigma_px)
    report.facts["sigma_px"] = f"{sigma_px[0]:.3f} .. {sigma_px[1]:.3f}"
    report.facts["coc_px"] = f"{coc_px[0]:.3f} .. {coc_px[1]:.3f}"
    eight_bits = [pair for pair in whole if pair.map_kind.startswith("8 ")]
    for pair in whole:
        if pair.high > scheme.stored_max:
            report.problems.append(
                f"{pair.map_name}: a map in the '{scheme.name}' encoding holds values up to "
                f"{scheme.stored_max}; received {pair.high}"
            )
    if eight_bits and scheme.stored_max > 255:
        report.problems += [
            f"{pair.map_name}: a map in the '{scheme.name}' encoding must have 16 bits; received 8"
            for pair in eight_bits
        ]
    elif eight_bits:
        report.notes.append(f"{len(eight_bits)} maps have 8 bits: enough for '{scheme.name}'")
    below = sum(pair.low < scheme.encode(0.0) for pair in whole)
    if below:
        report.notes.append(
            f"{below} maps hold values below {scheme.encode(0.0)}, a COC below one pixel: sharp"
        )
    if high == low:
        report.notes.append(f"all maps hold {low} everywhere: is it the right folder?")

"""The lines of manifest.jsonl: how each image of a dataset was made, one JSON object a line.

Keys: `index`, `seed`, `name`, `file` (with `record`, its place in the shard, or `map_file`),
`scene`, `source` (its `image` and `depth` file relative to root number `root`; null for procedural
scenes), `encoding`, `sampler`, `crop`, `height`, `width`, `focus_distance`, `alpha_px`, `near`,
`far` (bounds of the scene's depth), `layers`, `image_sha256` and `map_sha256` (of the PNG bytes).
Only `index` must be there.
"""

import json
from pathlib import Path

from data_gen.io.images import read_bytes

MANIFEST_LINES = "manifest.jsonl"


def read_lines(folder) -> tuple[dict[int, dict], list[str]]:
    """{index: the line's object} and what is wrong with other lines; ({}, []) without the file."""
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
            problems.append(f"{path}, line {number}: index {index} stands in an earlier line too")
        lines[index] = line
    return lines, problems

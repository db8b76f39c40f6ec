"""Which photos of a collection are meant: a range of numbers, a list, or a file of names."""

import re
from pathlib import Path

from data_gen.io.images import IMAGE_SUFFIXES


def select_names(stems, names):
    """The set of those `stems` that `names` asks for, in any form that `LabelledPhotos` takes.

    Raises:
        ValueError: a stem that is asked for is not there, a range matches none, or `names` is
            neither a range nor a file.
    """
    stems = set(stems)
    if isinstance(names, (str, Path)):
        series = re.fullmatch(r"(.*?)(\d+)-(\d+)", str(names))
        if series and not Path(names).is_file():
            return _in_series(stems, series[1], int(series[2]), int(series[3]))
        names = _read_stems(Path(names))
    missing = sorted(set(names) - stems)
    if missing:
        raise ValueError(
            f"every photo that is asked for must be there; received no photo for {len(missing)} "
            f"names, such as {', '.join(missing[:3])}"
        )
    return set(names)


def _in_series(stems, prefix, first, last):
    """Stems that end in a number of `first` .. `last`, with `prefix` before it if there is one."""
    found = set()
    for stem in stems:
        before, number = re.fullmatch(r"(.*?)(\d*)", stem).groups()
        if number and first <= int(number) <= last and prefix in ("", before):
            found.add(stem)
    if not found:
        raise ValueError(
            f"a range of names must match at least one photo; received {prefix}{first}-{last} "
            f"for {len(stems)} photos such as {min(stems)}"
        )
    return found


def _read_stems(path):
    if not path.is_file():
        raise ValueError(
            "names must be a range such as 0001-0454 or a text file with a name a line; "
            f"received {path}, and there is no such file"
        )
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    # A list of file names serves as well as one of stems.
    return [
        line[: -len(Path(line).suffix)] if Path(line).suffix.lower() in IMAGE_SUFFIXES else line
        for line in lines
        if line
    ]

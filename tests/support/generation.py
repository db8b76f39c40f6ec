"""`python -m data_gen`, called by the tests of what it writes."""

import contextlib
import json

from data_gen import __main__ as command


def run(*arguments, jobs=1):
    return command.main([str(argument) for argument in (*arguments, "--jobs", jobs)])


def contents(folder):
    found = {}
    for path in folder.rglob("*"):
        # A writer at work renames its temporary files at any time.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found[path.relative_to(folder)] = path.read_bytes()
    return found


def lines_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]

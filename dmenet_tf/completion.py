"""The completion script of a shell for `dmenet`: commands, their options and choices, and files.

By shtab, from argparse parsers; tyro's are such parsers too (`data_gen/command_line.py`). tyro's
own completion makes a script for one whole program, which starts Python at each press of the key,
and has none for fish.
"""

import argparse
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes the options of `parser` and its subcommands."""
    import shtab

    _complete_files(parser, shtab.FILE)
    return shtab.complete(parser, shell)


def _complete_files(parser: argparse.ArgumentParser, file) -> None:
    """Any option that takes free text may take a path: completes file names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _complete_files(subparser, file)
        elif action.choices is None and action.nargs != 0 and action.type in (None, str, Path):
            action.complete = file

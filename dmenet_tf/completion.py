"""The completion script of a shell for `dmenet`: commands, their options and choices, and files.

By shtab, from argparse parsers. Parsers of tyro have completion of their own, but as a script for a
whole program, which starts a Python at each press of the key and does not exist for fish: here, the
dataclass that such a parser is made of becomes an argparse parser (`add_fields`).
"""

import argparse
import dataclasses
import typing
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes what `parser`, with its subcommands, takes."""
    import shtab

    _complete_files(parser, shtab.FILE)
    return shtab.complete(parser, shell)


def add_fields(parser: argparse.ArgumentParser, group: type) -> None:
    """An option for each field of a dataclass and of the dataclasses in it, named as tyro names
    them without prefixes."""
    for name, kind in typing.get_type_hints(group).items():
        flag = f"--{name.replace('_', '-')}"
        if dataclasses.is_dataclass(kind):
            add_fields(parser, kind)
        elif kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction)
        elif typing.get_origin(kind) is typing.Literal:
            parser.add_argument(flag, choices=typing.get_args(kind))
        else:
            parser.add_argument(flag)


def _complete_files(parser: argparse.ArgumentParser, file) -> None:
    """Whatever takes a free text may be a path: completed as one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _complete_files(subparser, file)
        elif action.choices is None and action.nargs != 0 and action.type in (None, str, Path):
            action.complete = file

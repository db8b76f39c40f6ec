"""Readable console output and error messages."""

import argparse
import sys
from collections.abc import Callable

from data_gen import command_line, exit_codes


def note(line: str) -> None:
    """One line on standard error, about something that is done all the same."""
    text = line.encode(errors="replace").decode()  # a file's name may hold bytes that are no text
    print(f"note: {text}", file=sys.stderr, flush=True)


class UsageError(ValueError):
    """The command line is wrong: exit code `data_gen.exit_codes.USAGE`."""


def run(
    work: Callable[[], int],
    interrupted: str = "interrupted",
    errors: tuple[type[Exception], ...] = (),
) -> int:
    """`data_gen.command_line.run`, and the exit code `USAGE` after a `UsageError`.

    errors: of more types, which state in one line what can be done.
    """

    def checked():
        try:
            return work()
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            return exit_codes.USAGE
        except errors as error:
            print(f"error: {error}", file=sys.stderr)
            return exit_codes.FAILED

    return command_line.run(checked, interrupted)


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` for wrong options, so that a command reports them in one line.

    An unknown option is named first: argparse would first report missing options, and a misspelt
    required option is also a missing one.

    Args:
        renamed: former name -> name of an option; accepted, but not shown in --help.
    """

    def __init__(self, *args, renamed: dict[str, str] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.renamed = renamed or {}

    def error(self, message):
        raise UsageError(message)

    def parse_known_args(self, args=None, namespace=None):
        args = [self._renamed(word) for word in (sys.argv[1:] if args is None else args)]
        self.check_names(args)
        return super().parse_known_args(args, namespace)

    def parse_known(self, args: list[str]):
        """(the options of this parser, all other words), as argparse's `parse_known_args`."""
        return super().parse_known_args(args)

    def check_names(self, args: list[str]) -> None:
        """Raises `UsageError` for the first option in `args` that this parser does not have."""
        for word in self._options_in(args):
            if not self._knows(word):
                self.error(self._unknown(word))

    def _renamed(self, word: str) -> str:
        name, equals, value = word.partition("=")
        return self.renamed.get(name, name) + equals + value

    def _options_in(self, args: list[str]) -> list[str]:
        """The words that argparse reads as options of this parser, not of a subcommand."""
        found, subcommands = [], self._subparsers is not None
        for word in args:
            if word == "--":
                break
            if len(word) > 1 and word[0] == "-" and not self._is_value(word):
                found.append(word.partition("=")[0])
            elif subcommands:
                break
        return found

    def _is_value(self, word: str) -> bool:
        return " " in word or bool(self._negative_number_matcher.match(word))

    def _knows(self, word: str) -> bool:
        known = self._option_string_actions
        if word.startswith("--"):
            return any(option.startswith(word) for option in known)
        return word in known or word[:2] in known  # -oFOLDER

    def _unknown(self, word: str) -> str:
        shown = [
            option
            for option, action in self._option_string_actions.items()
            if action.help is not argparse.SUPPRESS
        ]
        return command_line.unknown_name("option", word, shown, self.prog)

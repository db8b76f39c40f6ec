"""How every command of data_gen reads its options and ends; imports no TensorFlow."""

import difflib
import sys
from collections.abc import Callable

import tyro

from data_gen import exit_codes

# Old names of options, which keep working and are in no help.
OLD_NAMES = {"--workers": "--jobs"}


def parse(options: type, argv, prog: str, description: str, pass_on: bool = False):
    """`tyro.cli` of a dataclass of options. An unknown option is named first, in one line.

    Args:
        argv: the arguments, or None for those of the process.
        pass_on: also return the unknown arguments, which belong to another program.
    Raises:
        SystemExit: after --help with code 0, after a wrong option with `exit_codes.USAGE`.
    """
    argv = [_renamed(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if not pass_on:
        _check_names(options, argv, prog)
    return tyro.cli(
        options, args=argv, prog=prog, description=description, return_unknown_args=pass_on
    )


def _renamed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return OLD_NAMES.get(name, name) + equals + value


def _check_names(options: type, argv: list[str], prog: str) -> None:
    # tyro names a missing option first, which a misspelt one always leaves behind.
    parser = tyro.extras.get_parser(options)
    known = [name for action in parser._actions for name in action.option_strings]
    spellings = {name.replace("_", "-") for name in known}
    for argument in argv:
        name = argument.partition("=")[0]
        if name.startswith("--") and len(name) > 2 and name.replace("_", "-") not in spellings:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"`{prog} --help` lists all options"
            print(f"error: unknown option {name}; {advice}", file=sys.stderr)
            raise SystemExit(exit_codes.USAGE)


def run(work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """`work()`, the exit code; what a user can mend is one line on standard error, no traceback."""
    try:
        return work()
    except (OSError, ValueError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.FAILED
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return exit_codes.INTERRUPTED

"""Option parsing, error messages and exit codes shared by all data_gen commands; no TensorFlow."""

import argparse
import difflib
import os
import select
import sys
import warnings
from collections.abc import Callable

import tyro

from data_gen import exit_codes, interrupts

# Former option names: still accepted, but not shown in --help.
OLD_NAMES = {"--workers": "--jobs"}


def parse(options: type, argv, prog: str, description: str, pass_on: bool = False):
    """`tyro.cli` for a dataclass of options; an unknown option is reported first, on one line.

    Args:
        argv: the arguments; None: `sys.argv[1:]`.
        pass_on: return (options, unknown arguments) instead of rejecting unknown ones.
    Raises:
        SystemExit: code 0 after --help, `exit_codes.USAGE` after an invalid option.
    """
    argv = [_renamed(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if not pass_on:
        _check_names(options, argv, prog)
    return tyro.cli(
        options, args=argv, prog=prog, description=description, return_unknown_args=pass_on
    )


def parser_of(options: type, **settings) -> argparse.ArgumentParser:
    """tyro's argparse parser for a dataclass of options; `settings` as for `tyro.cli`."""
    with warnings.catch_warnings():
        # tyro announces that it will go, and has nothing else yet that lists a command's options.
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(options, **settings)


def _renamed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return OLD_NAMES.get(name, name) + equals + value


def _check_names(options: type, argv: list[str], prog: str) -> None:
    # A misspelt required option is also a missing one, and tyro reports the missing one first.
    parser = parser_of(options)
    known = [name for action in parser._actions for name in action.option_strings]
    spellings = {name.replace("_", "-") for name in known}
    for argument in argv:
        name = argument.partition("=")[0]
        if name.startswith("--") and len(name) > 2 and name.replace("_", "-") not in spellings:
            raise SystemExit(unknown("option", name, known, prog))


def unknown(kind: str, name: str, known: list[str], prog: str) -> int:
    """Reports an unknown option or command with the most similar known one; the exit code."""
    print(f"error: {unknown_name(kind, name, known, prog)}", file=sys.stderr)
    return exit_codes.USAGE


def unknown_name(kind: str, name: str, known: list[str], prog: str) -> str:
    """What is said of an unknown option or command: the most similar known one, or where to look.

    kind: "option" or "command"; prog: the command as it is typed.
    """
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else f"`{prog} --help` lists all {kind}s"
    return f"unknown {kind} {name}; {advice}"


def run(work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Returns the exit code of `work()`; errors that a user can fix become one line on stderr.

    Standard output that nobody reads any more, as after `| head -1`, ends the work without a word.
    """
    with interrupts.remembered():
        try:
            return _flushed(_run(work, interrupted))
        except SystemExit:
            _flushed(exit_codes.OK)
            raise


def _flushed(code: int) -> int:
    """Writes what waits for standard output, which Python would do at its end, with a traceback."""
    if sys.stdout is None:  # it was closed before the start
        return code
    try:
        sys.stdout.flush()
        return code
    except OSError as error:
        _to_nowhere()
        if isinstance(error, BrokenPipeError):  # the reader has what it wanted
            return exit_codes.BROKEN_PIPE
        print(f"error: standard output: {error}", file=sys.stderr)
        return exit_codes.FAILED


def _nobody_reads() -> bool:
    """Whether it is standard output whose other end was closed, and not another pipe."""
    try:
        poll = select.poll()  # not on Windows
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):
        return False


def _to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(work, interrupted) -> int:
    try:
        return work()
    except (OSError, ValueError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            _to_nowhere()
            return exit_codes.BROKEN_PIPE
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.FAILED
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return exit_codes.INTERRUPTED

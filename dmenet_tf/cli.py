"""The command `dmenet`, for the commands of all packages.

    dmenet predict photos/ -o maps --weights runs/demo

Finds the command that the first word names among the entry points of the group `dmenet.commands`
(`data_gen/commands.py`), and passes the rest on: `--help` does not wait for TensorFlow, and no
package above this one is named here.
"""

import argparse
import difflib
import functools
import importlib.metadata
import sys

from data_gen.command_line import run
from data_gen.commands import GROUP, Command
from data_gen.exit_codes import FAILED, OK, USAGE
from data_gen.installation import DISTRIBUTION, install_command, not_installed
from dmenet_tf.completion import SHELLS

COMPLETION = "completion"  # defined here, since it needs all other commands

EPILOG = """\
examples:
  dmenet train --preset demo --run runs/demo
  dmenet predict photos/ -o maps --weights runs/demo --write colour,npy
  dmenet apply magnify photo.jpg -o out --weights runs/demo
  eval "$(dmenet completion bash)"

`dmenet COMMAND --help` has the options of each.
"""


def main(argv=None) -> int:
    """Command line; returns the exit code. No traceback for an interrupt or a closed pipe."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return run(lambda: _dispatch(argv))


def _dispatch(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name in ("-V", "--version"):
        print(f"dmenet {_version()}")
        return OK
    found = commands()
    if not found:
        print(
            "error: no commands are installed (the installation is missing or outdated): "
            f"{install_command()}",
            file=sys.stderr,
        )
        return FAILED
    if name in ("-h", "--help", "help"):
        print(build_parser().format_help(), end="")
        return OK if argv else USAGE
    if name == COMPLETION:
        return _completion(argv[1:])
    if name not in found:
        print(f"error: {_unknown(name, [*found, COMPLETION])}", file=sys.stderr)
        return USAGE
    try:
        return found[name].load().main(argv[1:])
    except ImportError as error:
        print(f"error: {_why_not(name, found[name], error)}", file=sys.stderr)
        return FAILED


@functools.cache
def commands() -> dict[str, Command]:
    """The commands of the installed packages by name; empty if nothing is installed."""
    return {point.name: _load(point) for point in _entry_points()}


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)


def _load(point: importlib.metadata.EntryPoint) -> Command:
    """The command; if its package is missing, one that says so when it is run."""
    try:
        return point.load()
    except ImportError as error:
        missing = error

    def fail():
        raise missing

    return Command(fail, f"not available ({missing})")


def _unknown(name: str, known: list[str]) -> str:
    kind = "command"
    if name.startswith("-"):
        kind, known = "option", ["--help", "--version"]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(sorted(known))}"
    return f"unknown {kind} {name}; {advice}"


def _why_not(name: str, command: Command, error: ImportError) -> str:
    missing = (error.name or "").split(".")[0]
    if missing in {point.module.split(".")[0] for point in _entry_points()}:
        return f"`dmenet {name}` is not part of this installation: there is no module {error.name}"
    return not_installed(f"`dmenet {name}`", error, command.extra)


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown (not installed)"


def build_parser(with_options: bool = False) -> argparse.ArgumentParser:
    """A parser of all commands, `with_options` also of their options, for completion."""
    parser = argparse.ArgumentParser(
        prog="dmenet",
        usage="dmenet COMMAND ...",
        description="How much is each pixel of a photo out of focus?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version="dmenet")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", prog="dmenet")
    for name, command in commands().items():
        own = _options_of(command) if with_options else None
        parents, add_help = ([], True) if own is None else ([own], not _has_help(own))
        subparsers.add_parser(name, help=command.help, parents=parents, add_help=add_help)
    own = subparsers.add_parser(COMPLETION, help="print the completion script of a shell")
    own.add_argument("shell", choices=SHELLS)
    return parser


def _has_help(parser: argparse.ArgumentParser) -> bool:
    return any("--help" in action.option_strings for action in parser._actions)


def _options_of(command: Command) -> argparse.ArgumentParser | None:
    """A command's options; None if unknown, or if what it needs is not installed."""
    try:
        return command.options()
    except ImportError:
        return None


def _completion(argv: list[str]) -> int:
    """Prints a script for a shell: commands, their options and choices, and files."""
    parser = argparse.ArgumentParser(
        prog="dmenet completion",
        description="Prints the completion script of a shell.",
        epilog='bash: eval "$(dmenet completion bash)", or into /etc/bash_completion.d/dmenet\n'
        "zsh: into a file _dmenet on $fpath; fish: into ~/.config/fish/completions/dmenet.fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_args(argv).shell
    from dmenet_tf.completion import script

    print(script(build_parser(with_options=True), shell))
    return OK


if __name__ == "__main__":
    sys.exit(main())

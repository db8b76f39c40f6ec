"""The command `dmenet`: one name for what the modules do; `python -m ...` of each stays.

    dmenet predict photos/ -o maps --weights runs/demo

Looks at the first word, imports the module that answers to it, and hands on the rest: `--help`
does not wait for TensorFlow.
"""

import argparse
import dataclasses
import difflib
import importlib
import importlib.metadata
import os
import sys
import typing
from pathlib import Path
from typing import NamedTuple

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141
SHELLS = ("bash", "zsh", "fish")
OWN_PACKAGES = ("data_gen", "dmenet_tf", "serving")


class Command(NamedTuple):
    """A module with `main(argv) -> exit code`.

    `parser`: a function of it without arguments, whose module imports no TensorFlow, that returns
    its argparse parser; empty where there is none. `extra`: of setup.py, with what it needs.
    """

    module: str
    help: str
    parser: str = ""
    extra: str = ""


COMMANDS = {
    "train": Command("dmenet_tf.train", "train the networks, or resume a run"),
    "synthesize": Command("data_gen.__main__", "write a data set of defocused images"),
    "predict": Command("dmenet_tf.predict", "write the defocus maps of photos", "build_parser"),
    "evaluate": Command("dmenet_tf.evaluate", "measure by a protocol, report", "build_parser"),
    "apply": Command(
        "dmenet_tf.applications.command",
        "magnify, refocus, depth, segment, deblur",
        "build_parser",
    ),
    "export": Command(
        "serving.export", "write a SavedModel for serving", "build_parser", extra="serving"
    ),
    "serve": Command(
        "serving.server", "answer requests on this machine", "build_parser", extra="serving"
    ),
    "page": Command("serving.page", "a web page: drop a photo", "build_parser", extra="demo"),
    "completion": Command("dmenet_tf.cli", "print the completion script of a shell"),
}
EPILOG = """\
examples:
  dmenet train --preset demo --run runs/demo
  dmenet predict photos/ -o maps --weights runs/demo --write colour,npy
  dmenet apply magnify photo.jpg -o out --weights runs/demo
  eval "$(dmenet completion bash)"

`dmenet COMMAND --help` has the options of each.
"""


def main(argv=None) -> int:
    """Command line; returns the exit code. Quiet where it is interrupted or its reader leaves."""
    argv = sys.argv[1:] if argv is None else list(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _dispatch(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help", "help"):
        print(build_parser().format_help(), end="")
        return 0 if argv else EXIT_USAGE
    if name in ("-V", "--version"):
        print(f"dmenet {_version()}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        advice = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(COMMANDS)}"
        print(f"error: no command `{name}`: {advice}", file=sys.stderr)
        return EXIT_USAGE
    if name == "completion":
        return _completion(argv[1:])
    try:
        module = importlib.import_module(COMMANDS[name].module)
    except ImportError as error:
        print(f"error: {_why_not(name, error)}", file=sys.stderr)
        return EXIT_ERROR
    return module.main(argv[1:])


def _why_not(name: str, error: ImportError) -> str:
    extra, missing = COMMANDS[name].extra, error.name or ""
    if missing.split(".")[0] in OWN_PACKAGES:
        return f"`dmenet {name}` is not part of this installation: there is no module {missing}"
    install = f"dmenet-tf[{extra}]" if extra else "dmenet-tf"
    return f"`dmenet {name}` needs what is not installed ({error}): pip install '{install}'"


def _version() -> str:
    try:
        return importlib.metadata.version("dmenet-tf")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (not installed)"


def build_parser(with_options: bool = False) -> argparse.ArgumentParser:
    """The commands; `with_options` also those options that can be had without TensorFlow."""
    parser = argparse.ArgumentParser(
        prog="dmenet",
        usage="dmenet COMMAND ...",
        description="How much is each pixel of a photo out of focus?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version="dmenet")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="dmenet")
    for name, command in COMMANDS.items():
        own = _options_of(name) if with_options else None
        parents, add_help = ([], True) if own is None else ([own], not _has_help(own))
        subparser = commands.add_parser(name, help=command.help, parents=parents, add_help=add_help)
        if name == "completion":
            subparser.add_argument("shell", choices=SHELLS)
    return parser


def _has_help(parser: argparse.ArgumentParser) -> bool:
    return any("--help" in action.option_strings for action in parser._actions)


def _options_of(name: str) -> argparse.ArgumentParser | None:
    """A command's parser; None where it has none, or is not installed."""
    if name == "train":
        return _training_options()
    command = COMMANDS[name]
    if not command.parser:
        return None
    try:
        return getattr(importlib.import_module(command.module), command.parser)()
    except (ImportError, AttributeError):
        return None


def _training_options() -> argparse.ArgumentParser:
    """Those of `dmenet_tf.train`, which imports TensorFlow, from the configuration, which does not:
    every field of its groups is an option."""
    from dmenet_tf.config import Config
    from dmenet_tf.presets import PRESETS

    parser = argparse.ArgumentParser()
    parser.add_argument("--run", help="folder of the run")
    parser.add_argument("--preset", choices=tuple(PRESETS))
    parser.add_argument("--config", help="a configuration file instead of a preset")
    parser.add_argument("--resume", action="store_true", help="continue the run in its folder")
    _add_fields(parser, Config)
    return parser


def _add_fields(parser: argparse.ArgumentParser, group) -> None:
    for name, kind in typing.get_type_hints(group).items():
        flag = f"--{name.replace('_', '-')}"
        if dataclasses.is_dataclass(kind):
            _add_fields(parser, kind)
        elif kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction)
        elif typing.get_origin(kind) is typing.Literal:
            parser.add_argument(flag, choices=typing.get_args(kind))
        else:
            parser.add_argument(flag)


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
    import shtab

    complete = build_parser(with_options=True)
    _complete_files(complete, shtab.FILE)
    print(shtab.complete(complete, shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser, file) -> None:
    """Whatever takes a free text may be a path: completed as one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _complete_files(subparser, file)
        elif action.choices is None and action.nargs != 0 and action.type in (None, str, Path):
            action.complete = file


if __name__ == "__main__":
    sys.exit(main())

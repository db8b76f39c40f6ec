"""The definition of a `dmenet` command, and the commands of this package.

Each package has a module of this name; setup.py declares its commands as entry points of the group
`dmenet.commands`, where `dmenet` (`dmenet_tf/cli.py`) finds them. These modules import nothing
heavy: `dmenet --help` loads them all.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace

GROUP = "dmenet.commands"


@dataclass(frozen=True)
class Command:
    """A command of `dmenet`.

    Attributes:
        load: imports and returns the command's module, or another object with `main(argv)`, which
            runs the command and returns the exit code.
        help: one line.
        parser: the options, for completion, without importing TensorFlow. By default the
            module's `build_parser()`, if any.
        extra: the extra of setup.py that the command needs.
    """

    load: Callable[[], ModuleType | SimpleNamespace]
    help: str
    parser: Callable[[], ArgumentParser] | None = None
    extra: str = ""

    def options(self) -> ArgumentParser | None:
        """The command's options, for completion; None if unknown."""
        if self.parser is not None:
            return self.parser()
        build_parser = getattr(self.load(), "build_parser", None)
        return build_parser() if build_parser else None


def _synthesize() -> SimpleNamespace:
    from data_gen import __main__

    return SimpleNamespace(main=partial(__main__.main, prog="dmenet synthesize"))


def _synthesize_parser() -> ArgumentParser:
    from data_gen import __main__, command_line

    return command_line.parser_of(__main__.Options)


synthesize = Command(_synthesize, "write a dataset of defocused images", _synthesize_parser)

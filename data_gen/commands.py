"""What a command of `dmenet` is, and those that this package declares.

Each package has a module of this name, whose commands setup.py declares as entry points of the
group `dmenet.commands`: `dmenet` (`dmenet_tf/cli.py`) finds them there and imports none by name.
Such a module imports nothing heavy: `dmenet --help` reads them all.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

GROUP = "dmenet.commands"


@dataclass(frozen=True)
class Command:
    """A word that `dmenet` knows.

    Attributes:
        load: imports the module, whose `main(argv)` runs the command and returns the exit code.
        help: one line.
        parser: the options, for completion, or None where they are not known without importing
            TensorFlow. By default the module's `build_parser()`, where it has one.
        extra: the extra of setup.py that the command needs besides the rest.
    """

    load: Callable[[], ModuleType]
    help: str
    parser: Callable[[], ArgumentParser | None] | None = None
    extra: str = ""

    def options(self) -> ArgumentParser | None:
        """The command's options, for completion; None where they are not known."""
        if self.parser is not None:
            return self.parser()
        build_parser = getattr(self.load(), "build_parser", None)
        return build_parser() if build_parser else None


def _synthesize() -> ModuleType:
    from data_gen import __main__

    return __main__


# Its module imports TensorFlow, for which completion does not wait.
synthesize = Command(_synthesize, "write a dataset of defocused images", parser=lambda: None)

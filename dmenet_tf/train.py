"""Trains DMENet.

    dmenet train --preset demo --run runs/demo
    dmenet train --run runs/demo --resume

Parses and calls `training/run.py`. TensorFlow takes seconds to import: `--help` and wrong options
do not wait for it.
"""

import argparse
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import tyro

from data_gen import command_line
from data_gen.exit_codes import FAILED, INTERRUPTED, OK, SKIPPED
from dmenet_tf import config_file as configuration
from dmenet_tf import console
from dmenet_tf.config import Config
from dmenet_tf.console import Parser
from dmenet_tf.environment import prepare
from dmenet_tf.presets import PRESETS

PROG = "dmenet train"
# Every field of the configuration is an option; `--help` shows those that people use.
COMMON = (
    "--synthetic", "--labelled", "--labelled-names", "--labelled-validation", "--unlabelled",
    "--max-bad", "--crop", "--batch", "--parts", "--width", "--encoder-width", "--decoder-width",
    "--vgg-weights", "--weights", "--lambda-sharpness", "--steps", "--minutes", "--learning-rate",
    "--precision", "--jit", "--steps-per-call", "--strategy", "--seed",
    "--checkpoint-every", "--validate-every",
)  # fmt: skip
OPTIONS = tyro.conf.OmitArgPrefixes[Config]  # --width and not --network.width


def build_parser(base: Config | None = None, shown: tuple[str, ...] | None = None) -> Parser:
    """The options of a run, then those of the configuration with the defaults of `base`.

    `shown`: only these options of the configuration; None: all of them.
    """
    parser = Parser(
        prog=PROG,
        usage="%(prog)s [--preset NAME] [--run DIR] [options]",
        description="Trains the networks, or resumes a run.",
        epilog="presets:\n" + "\n".join(map(_described, PRESETS)),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
        add_help=False,
    )
    _add_run_options(parser)
    base = PRESETS["demo"].config if base is None else base
    group = parser.add_argument_group("configuration")
    for action in command_line.parser_of(OPTIONS, default=base)._actions:
        name = action.option_strings[0]
        if name != "-h" and (shown is None or name in shown):
            if action.metavar and action.metavar.startswith("["):
                action.metavar = "VALUE"  # argparse adds the dots of a list itself
            group._add_action(action)
    return parser


def _described(preset: str) -> str:
    indent = " " * 10
    text = textwrap.fill(
        PRESETS[preset].expect, 100, initial_indent=indent, subsequent_indent=indent
    )
    return f"  {preset:7} {text.lstrip()}"


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-h", "--help", action="store_true", help="the options that people use")
    add("--help-all", action="store_true", help="all options")
    add("--run", type=Path, help="folder of the run (default: runs/PRESET)")
    add("--preset", choices=PRESETS, default="demo", help="see below (default: %(default)s)")
    add("--config", type=Path, help="a configuration file instead of a preset")
    add("--resume", action="store_true", help="continue the run in its folder")


def main(argv=None) -> int:
    """Command line; returns the exit code."""
    prepare()

    def work():
        parsed = parse(sys.argv[1:] if argv is None else argv)
        return OK if parsed is None else _train(*parsed)

    return console.run(work)


def parse(argv: list[str]) -> tuple[Path, bool, Config] | None:
    """Folder, whether to resume, and the configuration; None after the help that was asked for.

    Every field of the configuration is an option on top of a preset, a file or the run's own.
    Raises UsageError for wrong options, OSError and ValueError for a bad configuration file.
    """
    argv = [word for given, after in pairwise([*argv, ""]) for word in _jit(given, after)]
    run_options = Parser(prog=PROG, add_help=False)
    _add_run_options(run_options)
    build_parser().check_names(argv)
    options, rest = run_options.parse_known(argv)
    run = options.run or Path("runs", options.preset)
    base = _base(options, run)
    if options.help or options.help_all:
        shown = None if options.help_all else COMMON
        print(build_parser(base, shown).format_help(), end="")
        return None
    return run, options.resume, tyro.cli(OPTIONS, args=rest, default=base, prog=PROG)


def _jit(word: str, following: str) -> list[str]:
    """`--jit` and `--no-jit` without a value, as they were written before there was `auto`."""
    if word == "--no-jit":
        return ["--jit", "off"]
    return ["--jit", "on"] if word == "--jit" and following[:1] in ("", "-") else [word]


def _base(options, run: Path) -> Config:
    if options.resume:
        file = run / configuration.FILE
        if not file.exists():
            raise FileNotFoundError(f"--resume needs a run to continue; received {run}: no {file}")
        return configuration.load(file)
    if options.config:
        return configuration.load(options.config)
    return PRESETS[options.preset].config


def _train(run: Path, resume: bool, config: Config) -> int:
    from data_gen.environment import quiet_native_stderr

    with quiet_native_stderr():
        from dmenet_tf.training.failures import StoppedError
        from dmenet_tf.training.monitoring import NonFiniteLossError
        from dmenet_tf.training.run import train
    try:
        trained = train(run, config, resume)
    except NonFiniteLossError as error:
        print(
            f"error: {error}\nA lower learning rate may carry it further: "
            f"{PROG} --run {run} --resume --learning-rate {config.training.learning_rate / 3:.1g}",
            file=sys.stderr,
        )
        return FAILED
    except StoppedError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"interrupted; to continue: {PROG} --run {run} --resume", file=sys.stderr)
        return INTERRUPTED
    return SKIPPED if trained.skipped else OK


if __name__ == "__main__":
    sys.exit(main())

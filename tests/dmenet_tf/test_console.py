"""Parsing of command lines: what is wrong with one is said in one line, the typing error first."""

import pytest

from dmenet_tf.console import Parser, UsageError


@pytest.fixture
def parser():
    parser = Parser(prog="paint", renamed={"--checkpoint": "--weights"})
    parser.add_argument("--weights", required=True)
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("--offset", type=int)
    return parser


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wieghts", "run", "--out", "o"], "unknown option --wieghts; did you mean --weights?"),
        (["--wieghts=run"], "unknown option --wieghts; did you mean --weights?"),
        (["-x", "1"], "unknown option -x"),
        (["--out", "o"], "--weights"),
        (["--weights", "w", "--out", "o", "--offset", "x"], "invalid int"),
        (["--weights", "w", "--out", "o", "more"], "unrecognized arguments: more"),
    ],
)
def test_the_typing_error_is_named_before_what_is_missing(parser, arguments, message):
    with pytest.raises(UsageError) as raised:
        parser.parse_args(arguments)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--weights", "w", "-oo", "--offset", "-3"],
        ["--wei", "w", "--out=o", "--offset=-3"],
        ["--checkpoint", "w", "-o", "o", "--offset", "-3"],
        ["--checkpoint=w", "-o", "o", "--offset", "-3"],
    ],
)
def test_what_argparse_takes_is_taken(parser, arguments):
    options = parser.parse_args(arguments)
    assert (options.weights, options.out, options.offset) == ("w", "o", -3)


def test_old_names_are_not_shown(parser):
    assert "--checkpoint" not in parser.format_help()


def test_a_value_that_has_an_old_name_stays(parser):
    assert parser.parse_args(["--weights=--checkpoint", "-o", "o"]).weights == "--checkpoint"


def test_options_after_a_subcommand_are_the_subcommands():
    parser = Parser(prog="paint")
    parser.add_argument("--loud", action="store_true")
    wall = parser.add_subparsers(dest="name", required=True).add_parser("wall")
    wall.add_argument("--colour", required=True)
    assert parser.parse_args(["--loud", "wall", "--colour", "red"]).colour == "red"
    with pytest.raises(UsageError, match="unknown option --color; did you mean --colour"):
        parser.parse_args(["wall", "--color", "red"])

"""How the commands read their options and end."""

import subprocess
import sys
from typing import get_args

import pytest

from data_gen import __main__ as command
from data_gen import command_line, exit_codes, optics
from data_gen.curation import dedup
from data_gen.curation.options import HASH_BITS, THRESHOLD_BITS
from data_gen.rendering.lens import LENS_SAMPLERS
from data_gen.rendering.options import SamplerName
from data_gen.sources.layout_names import SEGMENTS, Layout
from data_gen.sources.layouts import LAYOUTS
from tests.support.paths import ROOT

COMMANDS = [[], ["inspect"], ["dedup"], ["card"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_help_and_a_wrong_option_do_not_wait_for_tensorflow(arguments):
    code = (
        "import sys\nfrom data_gen.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n"
        "    heavy = {'tensorflow', 'scipy', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "    print('imported', sorted(heavy))"
    )
    for option, expected in (("--help", exit_codes.OK), ("--sed", exit_codes.USAGE)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, option],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == expected
        assert done.stdout.endswith("imported []\n")
        assert ("usage: python -m data_gen" in done.stdout) == (option == "--help")


def test_an_unknown_option_is_named_first_and_in_one_line(capsys):
    for arguments, message in (
        (["--outt", "x"], "error: unknown option --outt; did you mean --out?"),
        (
            ["--count=3", "--zzz=3"],
            "error: unknown option --zzz; `python -m data_gen --help` lists",
        ),
        (["inspect", "--jsn", "x"], "error: unknown option --jsn; did you mean --json?"),
    ):
        with pytest.raises(SystemExit) as stop:
            command.main(arguments)
        assert stop.value.code == exit_codes.USAGE
        errors = capsys.readouterr().err
        assert errors.startswith(message) and errors.count("\n") == 1


def test_an_unknown_command_is_named(capsys):
    assert command.main(["inspec", "folder"]) == exit_codes.USAGE
    assert capsys.readouterr().err == "error: unknown command inspec; did you mean inspect?\n"


def test_names_in_options_are_those_of_the_code():
    """The options import nothing heavy, so their names are written out there."""
    assert set(get_args(optics.EncodingName)) == set(optics.ENCODINGS)
    assert set(get_args(optics.EncodingOrAuto)) == {"auto", *optics.ENCODINGS}
    assert set(get_args(SamplerName)) == set(LENS_SAMPLERS)
    assert set(get_args(Layout)) == {"auto", SEGMENTS, *LAYOUTS}
    assert THRESHOLD_BITS < HASH_BITS == dedup.BITS


@pytest.mark.parametrize("spelling", [["--jobs", "3"], ["--workers", "3"], ["--workers=3"]])
def test_the_old_name_of_an_option_works_and_is_in_no_help(capsys, spelling):
    arguments = ["-o", "x", "--count", "1", "--shard_size", "2", *spelling]
    options = command_line.parse(command.Options, arguments, "data_gen", "")
    assert (options.jobs, str(options.out), options.dataset.shard_size) == (3, "x", 2)
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = capsys.readouterr().out
    assert "--jobs" in text and "--workers" not in text


def test_how_a_command_ends(capsys):
    def raising(error):
        def work():
            raise error

        return work

    assert command_line.run(lambda: exit_codes.SKIPPED) == 3
    assert command_line.run(raising(OSError("no room"))) == 1
    assert capsys.readouterr().err == "error: no room\n"
    assert command_line.run(raising(KeyboardInterrupt()), "stopped") == 130
    assert capsys.readouterr().err == "stopped\n"
    with pytest.raises(AssertionError):  # a mistake of the program keeps its traceback
        command_line.run(raising(AssertionError()))

"""The command `dmenet`: it finds its commands, answers fast, and fails politely."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import types

import pytest

from data_gen.commands import Command
from dmenet_tf import cli
from dmenet_tf.presets import PRESETS
from tests.support.paths import ROOT

NAMES = (
    "apply", "evaluate", "export", "pack", "page", "predict", "serve", "synthesize", "train",
)  # fmt: skip


def dmenet(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dmenet_tf.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, **options
    )


@pytest.fixture
def stand_in(monkeypatch):
    """In place of a command of a name, what does as it is told."""

    def make(name, main, extra=""):
        command = Command(lambda: types.SimpleNamespace(main=main), "help", extra=extra)
        monkeypatch.setattr(cli, "commands", lambda: {name: command})

    return make


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predictt"]])
def test_answers_without_tensorflow(arguments):
    program = (
        "import sys; from dmenet_tf.cli import main; main(sys.argv[1:]);"
        "heavy = {'tensorflow', 'keras', 'cv2', 'numpy', 'skimage'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_help_and_a_wrong_option_of_a_command_do_not_wait_for_tensorflow():
    """One process for all: what one command imports stays imported for the next."""
    program = (
        "import contextlib, io, sys; from dmenet_tf.cli import main\n"
        "for name in sys.argv[1:]:\n"
        "    for option, expected in (('--help', 0), ('--zzz', 2)):\n"
        "        said = io.StringIO()\n"
        "        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):\n"
        "            try:\n"
        "                code = main([name, option])\n"
        "            except SystemExit as ended:\n"
        "                code = ended.code or 0\n"
        "        assert code == expected, (name, option, code, said.getvalue())\n"
        "        assert expected == 0 or 'unknown option --zzz' in said.getvalue(), name\n"
        "        assert not {'tensorflow', 'keras', 'gradio'} & set(sys.modules), name\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *NAMES],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


def test_help_fits_a_screen_names_every_command_and_shows_an_example(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 80
    assert all(f"\n    {name} " in text for name in NAMES)
    assert "dmenet predict photos/ -o maps" in text


def test_without_a_command_it_shows_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("typed, meant", [("predicct", "predict"), ("aply", "apply")])
def test_a_misspelt_command_is_suggested(capsys, typed, meant):
    assert cli.main([typed]) == 2
    assert capsys.readouterr().err == f"error: unknown command {typed}; did you mean {meant}?\n"


def test_a_word_like_no_command_lists_them(capsys):
    assert cli.main(["xyz"]) == 2
    assert "one of apply, completion, evaluate" in capsys.readouterr().err


def test_an_unknown_option_is_named(capsys):
    assert cli.main(["--versoin"]) == 2
    assert capsys.readouterr().err == "error: unknown option --versoin; did you mean --version?\n"


def test_the_packages_declare_their_commands():
    assert tuple(cli.commands()) == NAMES


def test_the_rest_goes_to_the_command(stand_in):
    received = []
    stand_in("paint", lambda argv: received.append(argv) or 7)
    assert cli.main(["paint", "a", "--help"]) == 7
    assert received == [["a", "--help"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_are_there(name):
    assert callable(cli.commands()[name].load().main)


def test_a_missing_library_is_one_line_with_the_command_that_installs_it(
    stand_in, monkeypatch, capsys
):
    def main(argv):
        raise ImportError("No module named 'grpc'", name="grpc")

    stand_in("paint", main, extra="serving")
    monkeypatch.chdir(ROOT)
    assert cli.main(["paint"]) == 1
    assert capsys.readouterr().err == (
        "error: `dmenet paint` needs what is not installed (No module named 'grpc'): "
        'pip install -e ".[serving]"\n'
    )


def test_a_missing_module_of_the_project_is_no_missing_library(stand_in, capsys):
    def main(argv):
        raise ModuleNotFoundError("No module named 'serving'", name="serving")

    stand_in("paint", main)
    assert cli.main(["paint"]) == 1
    assert "not part of this installation" in capsys.readouterr().err


def test_a_package_that_is_not_there_spoils_only_its_commands(monkeypatch, capsys):
    points = [
        importlib.metadata.EntryPoint("lost", "no_such_package.commands:lost", cli.GROUP),
        importlib.metadata.EntryPoint("predict", "dmenet_tf.commands:predict", cli.GROUP),
    ]
    monkeypatch.setattr(cli, "_entry_points", lambda: points)
    monkeypatch.setattr(cli, "commands", cli.commands.__wrapped__)
    assert cli.main(["--help"]) == 0
    help_text = capsys.readouterr().out
    assert "lost         not available" in help_text and "write the defocus maps" in help_text
    assert cli.main(["lost"]) == 1
    assert "no module no_such_package" in capsys.readouterr().err


def test_a_checkout_that_is_not_installed_says_how(monkeypatch, capsys):
    monkeypatch.setattr(cli, "commands", dict)
    monkeypatch.chdir(ROOT)
    assert cli.main(["predict", "photo.jpg"]) == 1
    assert capsys.readouterr().err.endswith("pip install -e .\n")


def test_an_interruption_leaves_no_traceback(stand_in, capsys):
    def main(argv):
        raise KeyboardInterrupt

    stand_in("predict", main)
    assert cli.main(["predict"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "dmenet_tf.cli", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(write)
    assert done.returncode == 141 and done.stderr == ""


# --- completion ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "dmenet.bash"
    done = dmenet("completion", "bash")
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "words, expected",
    [
        ([""], {*NAMES, "completion"}),
        (["pre"], {"predict"}),
        (["apply", ""], {"magnify", "refocus", "depth", "segment", "deblur"}),
        (["apply", "magnify", "--fac"], {"--factor"}),
        (["apply", "segment", "--rule", ""], {"otsu", "fixed", "paper", "hysteresis"}),
        (["predict", "--over"], {"--overwrite"}),
        (["train", "--preset", ""], set(PRESETS)),
        (["train", "--lambda-a"], {"--lambda-adversarial", "--lambda-aux"}),
        (["synthesize", "--samp"], {"--sampler"}),
        (["synthesize", "--layout", ""], {"records", "folders"}),
        (["export", "--we"], {"--weights"}),
        (["serve", "--poll"], {"--polling-interval"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["predict", "pho"], {"photo.jpg"}),
    ],
)
def test_bash_completes(bash_script, tmp_path, words, expected):
    (tmp_path / "photo.jpg").touch()
    driver = (
        f'source "{bash_script}"; complete -p dmenet >&2; COMP_WORDS=("$@");'
        "COMP_CWORD=$(($# - 1)); _shtab_dmenet; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", driver, "bash", "dmenet", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "-F _shtab_dmenet dmenet" in done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(
    "shell, mark", [("zsh", "#compdef dmenet"), ("fish", "complete -c dmenet")]
)
def test_other_shells_have_scripts(capsys, shell, mark):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert mark in script and "magnify" in script and "lambda-aux" in script


def test_an_unknown_shell_is_refused():
    done = dmenet("completion", "cmd")
    assert done.returncode == 2 and "cmd" in done.stderr


def test_the_training_options_that_are_completed_are_those_of_training(capsys):
    from dmenet_tf import train

    assert train.parse(["--help-all"]) is None
    text = capsys.readouterr().out
    options = [
        action.option_strings[0]
        for action in cli.commands()["train"].options()._actions
        if action.option_strings[0] != "-h"
    ]
    assert len(options) > 30
    assert [option for option in options if option not in text] == []

"""dmenet predict: its help, and what it says of wrong options."""

import re
import subprocess
import sys

import numpy as np
import pytest

from data_gen.exit_codes import FAILED, USAGE
from data_gen.io.images import write_png
from dmenet_tf import predict


def run(*arguments):
    return predict.main([str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((24, 36, 3), np.uint8))
    return tmp_path / "a.png"


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"no weights")
    return path


def test_wrong_commands_end_in_one_line(tmp_path, photo, capsys, weights_file, nothing_shipped):
    good = [photo, "-o", tmp_path / "out", "--weights", weights_file]
    for command, code, message in (
        ([], USAGE, "the following arguments are required: INPUT"),
        (["--overwite"], USAGE, "--overwite; did you mean --overwrite"),
        ([*good, "--edge"], USAGE, "--edge"),
        ([photo, "-o", "out"], USAGE, "--weights or --server must be given: .* no trained weights"),
        ([*good, "--write", "colour,gif"], USAGE, "must be of colour, .*received 'gif'"),
        ([*good, "--colour-range", "-1"], USAGE, "must be auto, or a sigma above 0; received '-1'"),
        ([*good, "--tile", "100"], USAGE, "multiple of 16"),
        ([*good, "--tile", "big"], USAGE, "--tile"),
        ([*good, "--max-side", "2"], USAGE, "max_side must be at least 16"),
        ([*good, "--max-pixels", "0"], USAGE, "--max-pixels must be above 0"),
        ([*good, "--sharp-below", "nan"], USAGE, "--sharp-below must be above 0"),
        ([tmp_path / "none", *good[1:]], FAILED, "there is no such path"),
        ([*good[:3], "--weights", tmp_path / "none"], FAILED, "--weights must be a run's folder"),
        (good, FAILED, "must be a whole .npz of plain arrays"),
    ):
        assert run(*command) == code, command
        error = capsys.readouterr().err
        assert error.startswith("error: ") and len(error.splitlines()) == 1, error
        assert re.search(message, error), (message, error)
    assert not (tmp_path / "out").exists()


def test_help_and_typos_need_no_tensorflow():
    code = (
        "import sys; from dmenet_tf import predict\n"
        "try: code = predict.main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'grpc', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    for argument, expected in (("--help", 0), ("--overwite", USAGE)):
        command = [sys.executable, "-c", code, argument]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) <= 48 and max(map(len, lines)) <= 100
    assert "example:" in text and text.startswith("usage: dmenet predict INPUT")
    assert "--tls-certificate" in text and "--tls-cert " not in text

"""The command that exports: what it makes of its options."""

import pytest

from serving import export


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--weights"),
        (
            ["--wieghts", "run", "--out", "o"],
            2,
            "unknown option --wieghts; did you mean --weights?",
        ),
        (["--weights", ".", "--out", "o", "--version", "x"], 2, "invalid int"),
        (["--weights", ".", "-o", "o", "--version", "0"], 2, "from 1 to"),
        (["--weights", ".", "-o", "o", "--max-side", "7"], 2, "at least 16 px"),
        (["--weights", "nowhere", "--out", "o"], 1, "there is no nowhere"),
        (["--checkpoint", "nowhere", "-o", "o"], 1, "there is no nowhere"),
    ],
)
def test_wrong_options_are_one_line(capsys, monkeypatch, tmp_path, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert export.main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "o").exists()

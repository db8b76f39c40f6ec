"""The command that exports: what it makes of its options."""

import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

from dmenet_tf.weights import checkpoints, load
from dmenet_tf.weights.shipped import SHIPPED
from serving import contract, export
from serving.exporting import publishing


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "-o/--out"),
        (
            ["--wieghts", "run", "--out", "o"],
            2,
            "unknown option --wieghts; did you mean --weights?",
        ),
        (["--weights", ".", "--out", "o", "--version", "x"], 2, "invalid int"),
        (["--weights", ".", "-o", "o", "--version", "0"], 2, "from 1 to"),
        (["--weights", ".", "-o", "o", "--max-side", "7"], 2, "at least 16 px"),
        (["--out", "o", "--precision", "float64"], 2, "invalid choice: 'float64'"),
        (["--out", "o.onnx", "--precision", "float16"], 2, "an ONNX file is float32"),
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


def test_the_options_reach_the_publisher_and_the_next_command_is_named(
    monkeypatch, tmp_path, exported, capsys
):
    received = []

    def publish(*arguments):
        received.append(arguments)
        return exported[1] / contract.MODEL_NAME / "1"

    monkeypatch.setattr(publishing, "publish", publish)
    monkeypatch.setattr(load, "load_weights", lambda path, which: (path, which))
    out = tmp_path / "models" / "mine"
    options = ["--weights", str(tmp_path), "-o", str(out), "--version", "7", "--max-side", "320"]
    assert export.main([*options, "--last", "--precision", "bfloat16"]) == 0
    assert export.main(options[:4]) == 0
    assert export.main(options[2:4]) == 0
    assert received == [
        ((tmp_path, checkpoints.LATEST), out, 7, 320, "bfloat16"),
        ((tmp_path, checkpoints.BEST), out, None, None, "float32"),
        ((SHIPPED, checkpoints.BEST), out, None, None, "float32"),
    ]
    printed = capsys.readouterr().out
    assert f"next: dmenet serve --models {out.parent}\n" in printed
    assert "clients ask for the model 'dmenet'; this one is 'mine'" in printed

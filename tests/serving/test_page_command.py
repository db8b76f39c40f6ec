"""The command of the page: options, what it starts, what it says."""

import contextlib
import subprocess
import sys

import pytest

pytest.importorskip("grpc", reason="needs the extra demo")

import dmenet_tf
from data_gen.exit_codes import USAGE
from serving import page
from tests.support.page import FakeEstimator, free_port
from tests.support.paths import ROOT


def test_neither_tensorflow_nor_matplotlib_is_imported_and_gradio_late():
    program = (
        "import sys, serving.page; serving.page.build_parser();"
        "early = {'tensorflow', 'gradio', 'numpy', 'grpc'} & set(sys.modules);"
        "import serving.web.results;"
        "found = early | ({'tensorflow', 'keras'} & set(sys.modules));"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_says_in_one_line_what_is_missing(monkeypatch, capsys):
    def fail(options):
        raise ModuleNotFoundError("No module named 'gradio'", name="gradio")

    monkeypatch.setattr(page, "run", fail)
    assert page.main([]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "the page needs" in message
    assert "pip install -e" in message and "[demo]" in message


def test_wrong_options_are_told_in_one_line(capsys):
    for command, message in (
        (["--sever", "a:1"], "--sever; did you mean --server"),
        (["--server", "nowhere"], "HOST:PORT"),
        (["--max-side", "3"], "--max-side must be 0, or at least 16; received 3"),
        (["--server", "a:1", "--tls-cert", "x"], "certificate and its key go together"),
        (["--server", "a:1", "--weights", "run"], "--weights or by --server; received both"),
    ):
        assert page.main(command) == USAGE
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.fixture
def launched(monkeypatch):
    """The estimators of pages that were made; nothing is shown, and nothing waits."""
    estimators = []

    class Page:
        def close(self, verbose):
            pass

    def build(estimator, max_side):
        estimators.append(estimator)
        return Page()

    monkeypatch.setattr(page, "build", build)
    monkeypatch.setattr(page, "launch", lambda *_: None)
    return estimators


@pytest.mark.parametrize("options, weights", [([], None), (["--weights", "run"], "run")])
def test_without_a_server_the_page_predicts_by_itself(launched, monkeypatch, options, weights):
    loaded = contextlib.nullcontext("an estimator")
    asked = []
    monkeypatch.setattr(dmenet_tf, "load", lambda given: asked.append(given) or loaded)
    assert page.main(options) == 0
    assert launched == [loaded] and asked == [weights]


def test_a_server_that_does_not_answer_yet_is_told_at_the_start(launched, monkeypatch, capsys):
    monkeypatch.setattr(page, "RETRY_S", 0.0)
    assert page.main(["--server", f"127.0.0.1:{free_port()}"]) == 0
    assert len(launched) == 1
    error = capsys.readouterr().err
    assert error.startswith("note: the server does not answer yet") and error.count("\n") == 1


@pytest.mark.process
def test_the_page_starts_behind_a_proxy(monkeypatch):
    """gradio asks its own page whether it is there; a proxy would not find it."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")  # nobody listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = page.build(FakeEstimator())
    try:
        assert page.launch(made, port=free_port(), block=False).startswith("http://127.0.0.1:")
    finally:
        made.close(verbose=False)


def test_the_viewer_takes_no_value_into_its_template():
    # gradio evaluates the filled template as JavaScript: a value in it could run.
    template = (page.WEB / "viewer.html").read_text()
    assert "${" not in template and "{{" not in template and "`" not in template

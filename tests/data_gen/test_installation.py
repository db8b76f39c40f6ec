"""The advice on what to install: a command that works where the reader is."""

import importlib.metadata

import pytest

from data_gen import installation


@pytest.mark.parametrize(
    ("extra", "expected"),
    [("serving", 'pip install -e ".[serving]"'), ("", "pip install -e .")],
)
def test_in_the_checkouts_folder(monkeypatch, extra, expected):
    monkeypatch.chdir(installation.ROOT)
    assert installation.install_command(extra) == expected


def test_elsewhere_the_checkout_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command = installation.install_command("demo")
    assert command == f'pip install -e "{installation.ROOT}[demo]"'


def test_without_a_checkout_the_requirements_are_named(monkeypatch, tmp_path):
    requirements = ["numpy", 'grpcio>=1.60; extra == "serving"', "gradio<7; extra == 'demo'"]
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    assert installation.install_command("serving") == "pip install 'grpcio>=1.60'"
    assert installation.install_command("demo") == "pip install 'gradio<7'"
    assert installation.install_command() == "pip install numpy"


def test_one_line_says_what_is_missing_and_how_to_install_it(monkeypatch):
    monkeypatch.chdir(installation.ROOT)
    error = ImportError("No module named 'grpc'")
    assert installation.not_installed("--server", error, "serving") == (
        "--server needs what is not installed (No module named 'grpc'): "
        'pip install -e ".[serving]"'
    )

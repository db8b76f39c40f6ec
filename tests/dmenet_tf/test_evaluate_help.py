"""What `dmenet evaluate` says before any work."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.process
def test_help_fits_a_screen_and_neither_it_nor_an_error_waits_for_tensorflow():
    code = """
import sys
from dmenet_tf import evaluate
for line in sys.argv[1:]:
    try:
        print("code", evaluate.main(line.split()))
    except SystemExit as stop:
        print("code", stop.code)
print("tensorflow" in sys.modules)
"""
    lines = ["--help", "--protocol cuhk --data nowhere", "--protocol cuhk --weigths a"]
    done = subprocess.run(
        [sys.executable, "-c", code, *lines],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.stdout.endswith("False\n"), done.stderr
    assert re.findall(r"^code (.*)", done.stdout, re.MULTILINE) == ["0", "1", "2"]
    shown = done.stdout.partition("code")[0]
    assert len(shown.splitlines()) <= 41 and "runs/BDCS" in shown
    assert shown.startswith("usage: dmenet evaluate")
    assert "unknown option --weigths; did you mean --weights?" in done.stderr

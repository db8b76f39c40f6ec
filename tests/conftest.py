"""Shared by all tests: quiet TensorFlow, and the folder of reference data where there is one."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

SHARED = Path(os.environ.get("DMENET_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture
def shared():
    """The folder with reference numbers and real scenes; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data folder, which is not at {SHARED} (DMENET_SHARED)")
    return SHARED

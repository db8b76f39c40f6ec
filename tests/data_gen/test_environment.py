"""What is set before TensorFlow is imported."""

import os

from data_gen import environment


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("MPLBACKEND", "")
    monkeypatch.delenv("MPLBACKEND")
    environment.prepare()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert os.environ["MPLBACKEND"] == "agg"

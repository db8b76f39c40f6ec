"""What is set before TensorFlow is imported."""

import os

from data_gen import environment


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    environment.prepare()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_a_backend_of_other_programs_is_overruled(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    environment.prepare()
    assert (os.environ["MPLBACKEND"], os.environ["KERAS_BACKEND"]) == ("agg", "tensorflow")

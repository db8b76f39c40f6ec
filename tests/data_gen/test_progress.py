"""Progress in a log file and on a terminal."""

import io
import re
import sys

import pytest
from tqdm import tqdm

from data_gen.progress import Lines, progress


def shares(text: str) -> list[str]:
    return re.findall(r"(\d+%), \d+ s\n", text)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, ["33%", "67%", "100%"]), (40, [f"{n}%" for n in range(10, 101, 10)])],
)
def test_a_log_has_a_line_for_every_tenth(capsys, count, expected):
    assert list(progress(range(count), desc="reading", unit="image")) == list(range(count))
    error = capsys.readouterr().err
    assert shares(error) == expected and "\r" not in error
    assert error.splitlines()[-1].startswith(f"reading: {count} of {count} images, 100%, ")


def test_what_was_done_before_is_not_told_again(capsys):
    with progress(total=20, initial=11, unit="image") as bar:
        bar.update(4)
        bar.update(0)
        bar.update(5)
    error = capsys.readouterr().err
    assert shares(error) == ["75%", "100%"] and error.startswith("15 of 20 images")


def test_without_a_total_a_log_has_nothing(capsys):
    assert list(progress(iter("abc"))) == ["a", "b", "c"]
    assert list(progress([])) == []
    assert capsys.readouterr().err == ""


def test_a_few_items_need_no_line(capsys):
    assert list(progress(range(9), least=10)) == list(range(9))
    with progress(total=9, least=10) as bar:
        bar.set_postfix_str("name", refresh=True)
        bar.update(9)
    assert capsys.readouterr().err == ""
    assert list(progress(range(10), least=10)) == list(range(10))
    assert len(shares(capsys.readouterr().err)) == 10


def test_a_generator_takes_its_total_as_an_option(capsys):
    assert list(progress(iter("abcd"), total=4)) == list("abcd")
    assert shares(capsys.readouterr().err) == ["25%", "50%", "75%", "100%"]


def test_a_terminal_has_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(range(3), desc="reading", leave=False) as bar:
        assert isinstance(bar, tqdm) and not isinstance(bar, Lines)

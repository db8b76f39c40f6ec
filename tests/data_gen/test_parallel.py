"""Work by a thread per core, ended early."""

import threading

import pytest

from data_gen.io import parallel

# Only for a program that never ends.
LIMIT_S = 60


def test_results_come_in_order():
    assert list(parallel.ordered(lambda i: i * i, 50)) == [i * i for i in range(50)]
    assert list(parallel.ordered(lambda i: i, 0)) == []


def test_an_error_ends_it_with_what_came_before():
    def function(i):
        if i == 3:
            raise ValueError("of item 3")
        return i

    results, seen = parallel.ordered(function, 50), []
    with pytest.raises(ValueError, match="of item 3"):
        for result in results:
            seen.append(result)  # noqa: PERF402
    assert seen == [0, 1, 2]


def test_one_of_its_own_threads_may_end_it(monkeypatch):
    """As the garbage collector does with a generator that is left half-way, wherever it runs."""
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    first_taken, outcome, done = threading.Event(), [], threading.Event()

    def function(i):
        if i == 1:
            first_taken.wait(LIMIT_S)
            try:
                outcome.append(results.close())
            except RuntimeError as error:
                outcome.append(error)
            done.set()
        return i

    results = parallel.ordered(function, 2)
    assert next(results) == 0
    first_taken.set()
    assert done.wait(LIMIT_S)
    assert outcome == [None]

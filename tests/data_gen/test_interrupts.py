"""An interrupt that is lost on its way, as in a finalizer, still ends the work."""

import contextlib
import signal
import threading

import pytest

from data_gen import command_line, interrupts, progress
from data_gen.exit_codes import INTERRUPTED, OK


@pytest.fixture(autouse=True)
def handler():
    """Ctrl-C works also where the tests themselves run in the background, without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def lose_an_interrupt():
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGINT)


def lose_an_interrupt_in_a_finalizer():
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    Finalized()


def iterated(done):
    for number in progress.progress(range(9)):
        done.append(number)
        if number == 2:
            lose_an_interrupt()
    return OK


def counted(done):
    with progress.progress(total=9) as bar:
        for number in range(9):
            done.append(number)
            if number == 2:
                lose_an_interrupt()
            bar.update(1)
    return OK


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("work", [iterated, counted])
def test_work_with_progress_ends_at_the_next_item(work, terminal, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    done = []
    assert command_line.run(lambda: work(done)) == INTERRUPTED
    assert done == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_lost_in_a_finalizer_is_raised_once():
    with interrupts.remembered():
        lose_an_interrupt_in_a_finalizer()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()


def test_one_that_ended_its_work_does_not_end_the_next():
    def interrupted():
        signal.raise_signal(signal.SIGINT)

    assert command_line.run(interrupted) == INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert command_line.run(lambda: interrupts.check() or OK) == OK


def test_what_was_set_for_ctrl_c_stays():
    for handler in (signal.SIG_IGN, lambda *_: None):
        signal.signal(signal.SIGINT, handler)
        with interrupts.remembered():
            assert signal.getsignal(signal.SIGINT) is handler
        assert signal.getsignal(signal.SIGINT) is handler


def test_a_thread_is_not_interrupted():
    """As Python, which raises in the main thread alone."""
    raised = []

    def check():
        with interrupts.remembered():
            try:
                interrupts.check()
            except KeyboardInterrupt:
                raised.append(True)

    with interrupts.remembered():
        lose_an_interrupt()
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
        assert not raised
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()

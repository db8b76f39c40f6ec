"""Jobs done by several processes of this machine.

Each worker is a new interpreter (`spawn`: TensorFlow does not survive a fork) with its share of the
CPU threads. It receives one job at a time through its own pipe, so a dying process cannot leave
anything shared locked: its pipe breaks, and the parent stops the other workers and reports it. A
worker whose parent dies sees the broken pipe and exits.

Why not `concurrent.futures.ProcessPoolExecutor`: it reports that a worker died but not how, and
SIGKILL is the sign of a lack of memory. Its workers share one queue and each keeps both ends of it
open, so after a kill -9 of the parent they would wait forever and keep their memory. And a job
could report each example only through a second queue, whose lock a killed worker may hold.
"""

import contextlib
import multiprocessing
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import wait

from data_gen import environment
from data_gen.io.parallel import cores

# A worker that does not exit within this time after SIGTERM is killed.
PATIENCE_S = 5.0


class WorkerDied(RuntimeError):
    """A worker process died before its work was done."""


def do_all(jobs, store, source, parameters, workers: int, report) -> None:
    """Runs `jobs` in `workers` processes; `report(bytes)` after each example.

    Raises:
        WorkerDied: one was killed, or could not start.
        Exception: what a worker raised.
    """
    waiting = deque(jobs)
    threads = max(1, cores() // workers)
    crew = {}
    try:
        with _interrupts_ignored():
            for _ in range(min(workers, len(jobs))):
                pipe, process = _started(store, source, parameters, threads)
                crew[pipe] = process
        while crew:
            for pipe in wait(list(crew)):
                kind, value = _received(pipe, crew[pipe])
                if kind == "made":
                    report(value)
                elif kind == "failed":
                    raise value
                elif waiting:
                    _send(pipe, waiting.popleft())
                else:
                    _send(pipe, None)
                    crew.pop(pipe).join()
    finally:
        _stop(crew.values())


def _started(store, source, parameters, threads):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, store, source, parameters, threads), daemon=True
    )
    process.start()
    theirs.close()  # Or the pipe would not break with the worker.
    return ours, process


def _received(pipe, process):
    try:
        return pipe.recv()
    except (EOFError, ConnectionError) as error:
        process.join()
        code = process.exitcode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        raise WorkerDied(
            f"a worker must run until its work is done; received: worker {process.pid} {how}. "
            "A SIGKILL that you did not send usually means that memory ran out: run the same "
            "command with fewer --jobs; it continues where it stopped"
        ) from error


def _send(pipe, job):
    # If the worker has just died, the next `_received` reports it.
    with contextlib.suppress(ConnectionError):
        pipe.send(job)


def _stop(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _interrupts_ignored():
    """Processes started inside ignore Ctrl-C: the parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(pipe, store, source, parameters, threads):
    """Body of a worker: requests jobs until there are none left."""
    try:
        generator = _generator(source, parameters, threads)
        from data_gen.generation import jobs

        pipe.send(("ready", None))
        while (job := pipe.recv()) is not None:
            jobs.do(job, store, generator, lambda size: pipe.send(("made", size)))
            pipe.send(("ready", None))
    except (EOFError, ConnectionError):
        sys.exit(1)  # The parent is gone.
    except Exception as error:
        with contextlib.suppress(ConnectionError):
            pipe.send(("failed", error))


def _generator(source, parameters, threads):
    environment.limit_to_processor(threads)
    from data_gen.generation.generator import Generator

    return Generator(source, parameters, threads)

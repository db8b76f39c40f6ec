"""Which request is computed when: a bounded queue in front of a few executions at a time.

A request waits here, not inside TensorFlow, so that it can be dropped, uncomputed, as soon as its
deadline passes or its caller leaves. When an execution ends, the oldest request that still has
a caller is next; queued requests that share its `batch_key` (same model, signature and shape) are
computed with it as one batch of two, four, and so on. No request waits for others: a batch is made
only of requests that had to queue anyway, and a single client pays nothing for it.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc

from serving.embedded.errors import RequestError, unavailable

_FOREVER_S = 1e6
_LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed in the queue")
_GONE = (grpc.StatusCode.CANCELLED, "the caller went away")


@dataclass(eq=False)
class Batch:
    """Requests that are computed together, in one place of execution."""

    place: int
    size: int
    unfinished: int
    retry: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False)
class _Waiting:
    batch_key: object
    deadline: float | None
    granted: threading.Event = field(default_factory=threading.Event)
    batch: Batch | None = None
    error: RequestError | None = None


class Scheduler:
    """`places`: executions at a time; `queue_length`: requests that may wait; `max_batch`: largest
    batch, a power of two, 1 for none."""

    def __init__(self, places: int, queue_length: int, max_batch: int = 1):
        self.queue_length, self.max_batch = queue_length, max_batch
        self._free = list(range(places))
        self._queue: deque[_Waiting] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @contextlib.contextmanager
    def place(self, context, batch_key=None) -> Iterator[Batch]:
        """Within it, the request may be computed, as a member of the batch that it yields.

        `context`: the request's `grpc.ServicerContext`. Raises RequestError: UNAVAILABLE at once if
        the queue is full, DEADLINE_EXCEEDED or CANCELLED when the caller stops waiting.
        """
        remaining = context.time_remaining()
        if remaining is not None and remaining > _FOREVER_S:
            remaining = None  # gRPC's value for a call without a deadline
        deadline = None if remaining is None else time.monotonic() + remaining
        request = _Waiting(batch_key, deadline)
        self._enter(request)
        try:
            self._wait(request, context)
            yield request.batch
        finally:
            if request.batch is not None:
                self._finished(request.batch)

    def reject_waiting(self, why: str) -> None:
        """Answers all waiting requests UNAVAILABLE; those being computed go on."""
        with self._lock:
            for request in self._queue:
                request.error = unavailable(why)
                request.granted.set()
            self._queue.clear()

    def _enter(self, request: _Waiting) -> None:
        with self._lock:
            if self._free:  # then the queue is empty
                self._grant([request])
            elif len(self._queue) >= self.queue_length:
                raise unavailable(f"the queue is full: {self.queue_length} requests are waiting")
            else:
                self._queue.append(request)

    def _wait(self, request: _Waiting, context) -> None:
        """Waits for the grant; raises RequestError if there is none."""
        # There is no callback for a call that has ended already.
        if not request.granted.is_set() and not context.add_callback(lambda: self._left(request)):
            self._left(request)
        remaining = None
        if request.deadline is not None:
            remaining = max(0.0, request.deadline - time.monotonic())
        if not request.granted.wait(remaining):
            self._drop(request, *_LATE)
            request.granted.wait()
        if request.error is not None:
            raise request.error
        # The other members of a batch would wait for one that leaves.
        if request.batch.size == 1:
            if request.deadline is not None and request.deadline <= time.monotonic():
                raise RequestError(*_LATE)
            if not context.is_active():
                raise RequestError(*_GONE)

    def _left(self, request: _Waiting) -> None:
        late = request.deadline is not None and time.monotonic() >= request.deadline
        self._drop(request, *(_LATE if late else _GONE))

    def _drop(self, request: _Waiting, code, why: str) -> None:
        """Takes a request out of the queue; one that is not there has just been granted."""
        with self._lock:
            if request in self._queue:
                self._queue.remove(request)
                request.error = RequestError(code, why)
                request.granted.set()

    def _grant(self, requests: list[_Waiting]) -> None:
        batch = Batch(self._free.pop(), len(requests), len(requests))
        for request in requests:
            request.batch = batch
            request.granted.set()

    def _finished(self, batch: Batch) -> None:
        with self._lock:
            batch.unfinished -= 1
            if batch.unfinished:
                return
            self._free.append(batch.place)
            self._drop_expired()
            if self._queue:
                self._grant(self._take())

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for request in [r for r in self._queue if r.deadline is not None and r.deadline <= now]:
            self._queue.remove(request)
            request.error = RequestError(*_LATE)
            request.granted.set()

    def _take(self) -> list[_Waiting]:
        """The oldest request and others of its key, a power of two in all."""
        first = self._queue[0]
        together = [first]
        if first.batch_key is not None:
            together = [r for r in self._queue if r.batch_key == first.batch_key][: self.max_batch]
        size = 1 << (len(together).bit_length() - 1)
        for request in together[:size]:
            self._queue.remove(request)
        return together[:size]

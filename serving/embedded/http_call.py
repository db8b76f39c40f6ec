"""A request over HTTP, as the gRPC service sees its calls: a deadline, and a caller who may leave.

Offers the four methods of `grpc.ServicerContext` that `service.py` and `scheduling.py` use.
"""

import select
import threading
import time

import grpc

from serving.embedded.errors import RequestError

_LOOK_S = 0.2  # how often a waiting request's connection is looked at
# Told even while bytes of the caller are still unread; Linux alone has it.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


class HttpCall:
    """A context manager, entered for as long as the request is under way.

    connection: the caller's socket. timeout_s: the time that the request has from now on.
    """

    def __init__(self, connection, timeout_s: float):
        self._connection = connection
        self._deadline = time.monotonic() + timeout_s
        self._ended = threading.Event()

    def __enter__(self) -> "HttpCall":
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()

    def time_remaining(self) -> float:
        return self._deadline - time.monotonic()

    def is_active(self) -> bool:
        """Whether the caller is still connected."""
        if self._ended.is_set():
            return False
        if not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(self._connection, _HUNG_UP)  # errors are told without being asked for
        return not poll.poll(0)

    def add_callback(self, callback) -> bool:
        """Calls `callback` once the caller has left; False, without a call, if that was before."""
        if not self.is_active():
            return False

        def watch():
            while not self._ended.wait(_LOOK_S):
                if not self.is_active():
                    callback()
                    return

        threading.Thread(target=watch, name="caller", daemon=True).start()
        return True

    def abort(self, code: grpc.StatusCode, message: str):
        raise RequestError(code, message)

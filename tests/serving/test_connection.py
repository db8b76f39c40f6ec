"""Single calls: what is sent, retries, deadlines, addresses, and what errors say."""

import threading
import types

import grpc
import numpy as np
import pytest

from serving import connection
from serving.connection import Client, ClientOptions, ServingError
from tests.support.fake_service import serving

RNG = np.random.default_rng(0)
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "still loading")
QUICK = {"backoff_first_s": 0.01, "backoff_max_s": 0.05}


def photo(height=40, width=52):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def test_status_health_and_what_is_asked_for(address, service):
    with Client(address, ClientOptions(version=3)) as asked:
        assert asked.status() == {3: "AVAILABLE"}
        assert asked.health() == "SERVING"
        reply = asked.predict_images(photo()[None] / 255, ("sigma_px",))
        assert list(reply) == ["sigma_px"] and reply["sigma_px"].shape == (1, 40, 52, 1)
    assert service.requests[-1].model_spec.version.value == 3
    with Client(address, ClientOptions(label="stable")) as asked:
        asked.predict_images(photo()[None] / 255)
    assert service.requests[-1].model_spec.version_label == "stable"
    with (
        Client(address, ClientOptions(model="other")) as asked,
        pytest.raises(ServingError, match=f"{address}: NOT_FOUND: no model other; ask") as raised,
    ):
        asked.status()
    assert raised.value.code == "NOT_FOUND"


def test_unavailable_is_tried_again_and_nothing_else_is(address, service):
    told = []
    with Client(address, ClientOptions(**QUICK), told.append) as asked:
        service.before = lambda number, _: UNAVAILABLE if number < 4 else None
        asked.predict_images(photo()[None] / 255)
        assert len(service.requests) == 4
        assert len(told) == 1 and "UNAVAILABLE (still loading); trying again" in told[0]
        for status in grpc.StatusCode:
            if status in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
                continue
            service.requests.clear()
            service.before = lambda *_, status=status: (status, "no")
            with pytest.raises(ServingError, match=f"{status.name}: no") as raised:
                asked.predict_images(photo()[None] / 255)
            assert raised.value.code == status.name and len(service.requests) == 1


class Clock(threading.Event):
    """Of a client: its pauses pass at once, and are what it takes for the time."""

    def __init__(self, monkeypatch, asked):
        super().__init__()
        self.now, self.pauses = 100.0, []
        clock = types.SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(connection, "time", clock)
        asked._closed = self

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        self.now += timeout
        return False


def test_retries_end(address, service, monkeypatch):
    service.before = lambda *_: UNAVAILABLE
    options = ClientOptions(retry_s=12, backoff_first_s=1, backoff_max_s=4, jitter=0)
    with Client(address, options) as asked:
        Clock(monkeypatch, asked)
        # After 0, 1, 3, 7 and 11 s; the next pause would end at 15 s.
        with pytest.raises(ServingError, match=r"still loading \(tried 5 times in 11 s\)") as end:
            asked.predict_images(photo()[None] / 255)
        assert end.value.code == "UNAVAILABLE" and len(service.requests) == 5
        with pytest.raises(ServingError):
            asked.predict_images(photo()[None] / 255, retry_s=0)
        assert len(service.requests) == 6


def test_pauses_double_and_vary(address, service, monkeypatch):
    service.before = lambda number, _: UNAVAILABLE if number < 9 else None
    with Client(address, ClientOptions(backoff_first_s=1, backoff_max_s=8, jitter=0.25)) as asked:
        clock = Clock(monkeypatch, asked)
        asked.predict_images(photo()[None] / 255)
    middle = np.array([1, 2, 4, 8, 8, 8, 8, 8])
    assert (np.abs(np.array(clock.pauses) / middle - 1) <= 0.25).all()
    assert len(set(clock.pauses)) == 8


def test_a_deadline_is_kept_and_not_tried_again(address, service):
    ended = threading.Event()
    service.before = lambda *_: ended.wait() and None
    with Client(address, ClientOptions(timeout_s=0.1)) as asked:
        with pytest.raises(ServingError, match="more time") as raised:
            asked.predict_images(photo()[None] / 255)
        ended.set()
        assert raised.value.code == "DEADLINE_EXCEEDED"
    assert len(service.requests) <= 1  # none where the machine is so busy that it never arrived


def test_a_server_that_comes_back(service):
    """Gone in the middle, back on the same port: a call waits for it."""
    with (
        serving(service) as address,
        Client(address, ClientOptions(**QUICK)) as asked,
    ):
        asked.predict_images(photo()[None] / 255)
    port = int(address.split(":")[1])
    with Client(address, ClientOptions(**QUICK)) as asked:
        with pytest.raises(ServingError, match=f"{address}: UNAVAILABLE: .*is the server running"):
            asked.predict_images(photo()[None] / 255, retry_s=0)
        replies = []
        thread = threading.Thread(
            target=lambda: replies.append(asked.predict_images(photo()[None] / 255))
        )
        thread.start()
        with serving(service, port):
            thread.join()
    assert len(replies) == 1


def test_closing_ends_calls_under_way(address, service):
    started, ended = threading.Event(), threading.Event()
    asked, errors = Client(address), []

    def hang(*_):
        started.set()
        ended.wait()

    service.before = hang

    def call():
        try:
            asked.predict_images(photo()[None] / 255)
        except ServingError as error:
            errors.append(error.code)

    thread = threading.Thread(target=call)
    thread.start()
    started.wait()
    asked.close()
    thread.join()
    ended.set()
    assert errors == ["CANCELLED"]
    with pytest.raises(ServingError, match="closed"):
        asked.status()


def test_messages_above_the_default_of_4_mb(address):
    image = photo(900, 900)  # noise, which does not compress: 2.4 MB as PNG, 9.7 MB as floats
    images = image[None] / np.float32(255)
    with Client(address) as asked:
        assert asked.predict_images(images)["sigma_px"].shape == (1, 900, 900, 1)
    with (
        Client(address, ClientOptions(max_message_bytes=4_000_000)) as asked,
        pytest.raises(ServingError, match="smaller tiles") as raised,
    ):
        asked.predict_images(images)
    assert raised.value.code == "RESOURCE_EXHAUSTED"


# --- addresses and options ---------------------------------------------------------------------


def test_addresses():
    for good in ("localhost:1", "10.0.0.1:65535", "[::1]:8500", "models.example.org:8500"):
        assert connection.check_address(good) == good
    for wrong in ("", "localhost", ":8500", "http://localhost:8500", "::1:8500", "a:b", "a:0",
                  "a:65536", "a:²", "[]:1", "a b:1"):  # fmt: skip
        with pytest.raises(ValueError, match=r"received"):
            Client(wrong)


def test_options_that_contradict_are_refused(tmp_path):
    for wrong, message in (
        ({"version": 1, "label": "a"}, "received both"),
        ({"version": 0}, "above 0"),
        ({"tls_key": "k"}, "go together"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
        ({"retry_s": -1}, "retry_s must be at least 0"),
        ({"jitter": 1}, "jitter must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            ClientOptions(**wrong)
    with pytest.raises(FileNotFoundError, match="a TLS file must exist; there is no nowhere"):
        Client("localhost:1", ClientOptions(tls_ca="nowhere"))
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(ValueError, match="must be PEM"):
        Client("localhost:1", ClientOptions(tls_ca=tmp_path / "ca"))

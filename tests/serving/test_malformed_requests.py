"""A thousand malformed requests, each with the status that the contract gives it, and good requests
between them that must all succeed. Which they are depends on the seed alone."""

import threading
from collections import Counter

import numpy as np
from tensorflow_serving.apis import predict_pb2

from serving import contract
from tests.support import malformed_files, malformed_requests
from tests.support.malformed_requests import INVALID, some_images
from tests.support.servers import FakeContext, wait_until
from tests.support.serving_calls import (
    Caller,
    encoded_request,
    image_file,
    images_request,
    status_of,
)

CASES = malformed_requests.CASES + malformed_files.CASES
COUNT, SEED = 1000, 20190616
GOOD_EVERY = 5


def test_each_of_a_thousand_gets_its_status_and_good_ones_succeed(running):
    rng = np.random.default_rng(SEED)
    sent, wrong, good = Counter(), [], 0
    with Caller(running.port) as caller:
        for index in range(COUNT):
            make = CASES[index % len(CASES)]
            request, expected = make(rng)
            received = send(caller, running, make.__name__, request)
            sent[expected] += 1
            if received != expected:
                wrong.append((index, make.__name__, expected, received))
            if index % GOOD_EVERY == 0:
                encoded = index % (2 * GOOD_EVERY) == 0
                request = encoded_request(image_file()) if encoded else images_request()
                assert caller.code(request) == "OK", f"after {make.__name__}, number {index}"
                good += 1
        assert not wrong, wrong
        assert sum(sent.values()) == COUNT and good == COUNT // GOOD_EVERY
        assert set(sent) == {
            INVALID, "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED",
            "DEADLINE_EXCEEDED", "CANCELLED",
        }  # fmt: skip
        assert caller.health() == "SERVING"
    assert running.scheduler.waiting == 0
    assert running.service.wait_until_idle(10)
    assert not counted(running, "INTERNAL")


def counted(running, code) -> float:
    """Replies of this status, as the server's own metrics have it."""
    samples = (s for m in running.metrics.registry.collect() for s in m.samples)
    return sum(s.value for s in samples if s.labels.get("code") == code)


def send(caller, running, name, request) -> str:
    """The status that a client sees."""
    if name == "too_large":
        request = bytes(contract.MAX_MESSAGE_BYTES + 1)
    if name in ("expired", "cancelled"):
        # All places are taken, so that the request waits for sure.
        with running.scheduler.place(FakeContext()), running.scheduler.place(FakeContext()):
            if name == "expired":
                return caller.code(request, timeout=0.05)
            call = caller.prediction.Predict.future(request)
            wait_until(lambda: running.scheduler.waiting == 1)
            call.cancel()
            wait_until(lambda: running.scheduler.waiting == 0)
            return call.code().name
    if isinstance(request, predict_pb2.PredictRequest):
        request = request.SerializeToString()
    return status_of(lambda: caller.raw(request, timeout=120))


def test_wild_bytes_in_parallel_never_fail_the_server(running):
    """Requests with some bytes turned over: any status but the server's own failure."""
    rng = np.random.default_rng(SEED)
    wholes = [images_request(some_images(rng)), encoded_request(image_file())]
    mutants = []
    for index in range(300):
        data = bytearray(wholes[index % 2].SerializeToString())
        for position in rng.integers(0, len(data), 4):
            data[position] = int(rng.integers(256))
        mutants.append(bytes(data))
    codes, before = Counter(), counted(running, "INTERNAL")

    def worker(part):
        with Caller(running.port) as caller:
            for data in part:
                codes[status_of(lambda data=data: caller.raw(data, timeout=120))] += 1

    threads = [threading.Thread(target=worker, args=[mutants[i::4]]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(running, "INTERNAL") == before
    assert set(codes) <= {"OK", INVALID, "NOT_FOUND", "FAILED_PRECONDITION"}
    assert codes[INVALID] > 30

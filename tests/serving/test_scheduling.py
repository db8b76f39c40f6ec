"""Queue, batches and deadlines, of requests over loopback to a tiny model."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from serving import contract
from tests.support.servers import FakeContext, metric, serve, wait_until
from tests.support.serving_calls import Caller, images_request


def test_requests_of_one_batch_get_their_own_answers(models):
    """While the only place is taken, the others have to queue, and leave it as batches."""
    values = np.linspace(0, 1, 24, dtype=np.float32)
    shapes = [(1, 8, 12, 3), (1, 12, 8, 3)]
    with (
        serve(models, jobs=1, max_batch=4) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(len(values)) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            requests = [
                images_request(np.full(shapes[i % 2], value, np.float32))
                for i, value in enumerate(values)
            ]
            waiting = [pool.submit(caller.predict, request) for request in requests]
            wait_until(lambda: one.scheduler.waiting == len(values))
        answers = [future.result() for future in waiting]
        together = metric(one, "dmenet_batch_size_sum") / metric(one, "dmenet_batch_size_count")
    for index, (value, answer) in enumerate(zip(values, answers, strict=True)):
        sigma = tf.make_ndarray(answer.outputs[contract.SIGMA_PX])
        assert sigma.shape[1:3] == shapes[index % 2][1:3]
        np.testing.assert_allclose(sigma, 7 * value, atol=1e-5)
    assert together == 4


def test_a_bad_request_does_not_spoil_its_batch(models):
    with (
        serve(models, jobs=1, max_batch=4) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(4) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            values = [0.5, 0.25, np.nan, 1.0]
            codes = [
                pool.submit(caller.code, images_request(np.full([1, 8, 8, 3], value, np.float32)))
                for value in values
            ]
            wait_until(lambda: one.scheduler.waiting == 4)
        codes = [future.result() for future in codes]
        assert metric(one, "dmenet_batch_size_sum") == 16  # each of the four was in a batch of four
    assert codes == ["OK", "OK", "INVALID_ARGUMENT", "OK"]


def test_a_full_queue_refuses_at_once(models):
    with (
        serve(models, jobs=1, queue=2) as one,
        Caller(one.port) as caller,
        ThreadPoolExecutor(2) as pool,
    ):
        with one.scheduler.place(FakeContext()):
            waiting = [pool.submit(caller.code, images_request()) for _ in range(2)]
            wait_until(lambda: one.scheduler.waiting == 2)
            assert caller.code(images_request()) == "UNAVAILABLE"
            assert caller.health() == "SERVING"
        assert [future.result() for future in waiting] == ["OK", "OK"]


def test_what_expired_or_was_cancelled_in_the_queue_is_not_computed(models):
    with serve(models, jobs=1) as one, Caller(one.port) as caller:
        with one.scheduler.place(FakeContext()):
            assert caller.code(images_request(), timeout=0.1) == "DEADLINE_EXCEEDED"
            wait_until(lambda: one.scheduler.waiting == 0)
            call = caller.prediction.Predict.future(images_request())
            wait_until(lambda: one.scheduler.waiting == 1)
            call.cancel()
            wait_until(lambda: one.scheduler.waiting == 0)
            assert metric(one, "dmenet_batch_size_count") == 0
        assert caller.code(images_request()) == "OK"
        assert metric(one, "dmenet_batch_size_count") == 1
        assert metric(one, "dmenet_requests_total", code="DEADLINE_EXCEEDED") == 1
        assert metric(one, "dmenet_requests_total", code="CANCELLED") == 1


def test_a_deadline_that_passes_in_the_model_frees_its_place(models):
    entered, go = threading.Event(), threading.Event()
    with serve(models, jobs=1) as one, Caller(one.port) as caller:
        with one.versions.use(contract.MODEL_NAME) as version:
            signature = version.model.signature("")
        run = signature.run

        def held(*arguments):
            entered.set()
            go.wait(120)
            return run(*arguments)

        signature.run = held
        try:
            for seconds in (0.3, 3, 30):  # until the request comes as far as the model in time
                assert caller.code(images_request(), seconds) == "DEADLINE_EXCEEDED"
                if entered.is_set():
                    break
            assert entered.is_set()
        finally:
            go.set()
        assert caller.code(images_request()) == "OK"

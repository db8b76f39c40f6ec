"""Versions come and go while requests run."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import contract
from serving.server import Server, ServerOptions
from tests.support.servers import metric, serve, wait_until
from tests.support.serving_calls import Caller, images_request, model_of, status_of
from tests.support.tiny_models import write_model

NAME = contract.MODEL_NAME
POLL = {"polling_s": 0.05}


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Versions 1 to 3 to copy from; models called tiny 1, tiny 0.5, tiny 0.25."""
    folder = tmp_path_factory.mktemp("stock")
    for number, gain in enumerate((1.0, 0.5, 0.25), start=1):
        write_model(folder, number, gain=gain)
    return folder


@pytest.fixture
def models(tmp_path, stock):
    put(stock, 1, tmp_path / "models")
    return tmp_path / "models"


def put(stock, number, models):
    """Copies, then renames: complete when it appears."""
    (models / NAME).mkdir(parents=True, exist_ok=True)
    temporary = models / NAME / f".{number}.tmp"
    shutil.copytree(stock / str(number), temporary)
    temporary.rename(models / NAME / str(number))


def versioned(number=None, label=None):
    request = images_request()
    if number is not None:
        request.model_spec.version.value = number
    if label is not None:
        request.model_spec.version_label = label
    return request


def test_a_new_version_takes_over_without_a_dropped_request(models, stock):
    seen, failed, done = [], [], threading.Event()

    def call(caller):
        while not done.is_set():
            try:
                seen.append(caller.predict(images_request()).model_spec.version.value)
            except Exception as error:
                failed.append(error)

    with serve(models, **POLL) as one, Caller(one.port) as caller, ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call, caller) for _ in range(4)]
        try:
            for number in (2, 3):
                put(stock, number, models)
                wait_until(lambda n=number: seen and seen[-1] == n)
                wait_until(lambda n=number: caller.states()[n - 1] == "END")
        finally:
            done.set()
        for future in callers:
            future.result()
        assert not failed
        assert set(seen) == {1, 2, 3}
        assert caller.states() == {3: "AVAILABLE", 2: "END", 1: "END"}
        assert model_of(caller.predict(images_request())) == "tiny 0.25"


def test_a_version_stays_in_memory_until_its_last_request(models, stock):
    with serve(models, **POLL) as one, Caller(one.port) as caller:
        with one.versions.use(NAME) as version:
            put(stock, 2, models)
            wait_until(lambda: caller.states().get(1) == "UNLOADING")
            assert caller.predict(images_request()).model_spec.version.value == 2
            assert version.model.signature("").run({contract.IMAGES: [[[[0.5] * 3]]]})
        wait_until(lambda: caller.states()[1] == "END")
        assert caller.code(versioned(1)) == "NOT_FOUND"


def test_a_broken_version_is_told_of_and_the_good_one_stays(models, stock, caplog):
    with serve(models, **POLL) as one, Caller(one.port) as caller:
        broken = models / NAME / "2"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"no model")
        wait_until(lambda: caller.states().get(2) == "END")
        assert caller.states() == {2: "END", 1: "AVAILABLE"}
        assert caller.predict(images_request()).model_spec.version.value == 1
        assert caller.health() == "SERVING"
        assert metric(one, "dmenet_model_load_failures_total", model=NAME) == 1
        assert [v.error != "" for v in one.versions.status(NAME)] == [True, False]
        assert "dmenet version 2 cannot be served" in caplog.text
        one.versions.look()  # not again and again
        assert metric(one, "dmenet_model_load_failures_total", model=NAME) == 1
        shutil.rmtree(broken)
        put(stock, 2, models)  # other files: once more
        wait_until(lambda: caller.states().get(2) == "AVAILABLE")


def test_a_warm_up_that_fails_is_a_broken_version(models, stock):
    with serve(models, **POLL) as one, Caller(one.port) as caller:
        folder = shutil.copytree(stock / "2", models / NAME / ".9.tmp")
        write_warmup(folder, versioned_bad())
        folder.rename(models / NAME / "9")
        wait_until(lambda: caller.states().get(9) == "END")
        assert "inputs must be" in one.versions.status(NAME)[0].error


def versioned_bad():
    request = images_request()
    request.inputs["pictures"].CopyFrom(request.inputs.pop(contract.IMAGES))
    return request


def write_warmup(folder, *requests):
    file = folder / contract.WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_warm_up_replays_the_models_requests(tmp_path, stock):
    from serving.embedded.loading import warm_up
    from serving.saved_model.session import LoadedModel

    folder = shutil.copytree(stock / "1", tmp_path / "1")
    model = LoadedModel(folder)
    write_warmup(folder, images_request(), images_request())
    assert warm_up(model, folder) == 2
    model.close()


def test_a_removed_version_is_unloaded(models, stock):
    put(stock, 2, models)
    with serve(models, **POLL) as one, Caller(one.port) as caller:
        assert caller.states() == {2: "AVAILABLE"}
        shutil.rmtree(models / NAME / "2")
        wait_until(lambda: caller.states() == {2: "END", 1: "AVAILABLE"})
        assert metric(one, "dmenet_model_version_loaded") == 1
        shutil.rmtree(models / NAME / "1")
        wait_until(lambda: caller.states()[1] == "END")
        assert caller.code(images_request()) == "NOT_FOUND"
        assert caller.health() == "NOT_SERVING"


def test_policy_labels_and_numbers(tmp_path, stock):
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{NAME}" base_path: "{stock}" '
        'model_platform: "tensorflow" model_version_policy { latest { num_versions: 2 } } '
        'version_labels { key: "stable" value: 2 } version_labels { key: "gone" value: 1 } } }'
    )
    options = ServerOptions(config=config, address="127.0.0.1:0")
    with Server(options) as one, Caller(one.port) as caller:
        assert caller.states() == {3: "AVAILABLE", 2: "AVAILABLE"}
        assert caller.predict(versioned()).model_spec.version.value == 3
        assert model_of(caller.predict(versioned(label="stable"))) == "tiny 0.5"
        assert model_of(caller.predict(versioned(number=2))) == "tiny 0.5"
        for request in (versioned(1), versioned(label="gone"), versioned(label="never")):
            assert caller.code(request) == "NOT_FOUND"
        assert status_of(lambda: caller.states("other")) == "NOT_FOUND"


def test_what_is_still_being_copied_is_left_alone(models, stock):
    with serve(models, **POLL) as one, Caller(one.port) as caller:
        (models / NAME / "2" / "variables").mkdir(parents=True)
        (models / NAME / "notes").mkdir()
        one.versions.look()
        assert caller.states() == {1: "AVAILABLE"}


def test_memory_is_given_back(tmp_path):
    """Eight versions of 64 MB, one after another: less stays than one of them takes."""
    mb = 64
    folder = tmp_path / "models" / NAME
    version = write_model(folder, 1, ballast_mb=mb)
    process = psutil.Process()
    with serve(tmp_path / "models", polling_s=3600) as one, Caller(one.port) as caller:
        used = []
        for number in range(2, 10):
            version = version.rename(version.with_name(str(number)))
            one.versions.look()
            wait_until(lambda n=number: caller.states().get(n - 1) in (None, "END"))
            assert caller.predict(images_request()).model_spec.version.value == number
            used.append(process.memory_info().rss / 2**20)
    assert max(used[4:]) - max(used[:4]) < mb, used

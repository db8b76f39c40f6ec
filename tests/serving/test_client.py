"""The client: no TensorFlow, limits, tiles, retries, deadlines, and what its errors say."""

import json
import subprocess
import sys
import threading
import types

import grpc
import numpy as np
import pytest

from data_gen.io.images import DataFileError, encode_png
from data_gen.optics import ENCODINGS
from dmenet_tf.prediction.predictor import ModelChanged
from serving import client, connection, contract
from serving.client import Client, ClientOptions, RemotePredictor, ServingError
from tests.support.fake_service import brightness, serving

RNG = np.random.default_rng(0)
STEP = client.SIGMA_STEP_PX
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "still loading")
QUICK = {"backoff_first_s": 0.01, "backoff_max_s": 0.05}


def photo(height=40, width=52, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def test_neither_tensorflow_nor_matplotlib_is_imported(address):
    code = (
        "import sys, numpy as np\n"
        "import serving.client, dmenet_tf.predict\n"
        "from dmenet_tf.prediction import estimator\n"
        "with serving.client.RemotePredictor(sys.argv[1]) as predictor:\n"
        "    assert predictor.sigma_px(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30)\n"
        "    assert predictor.metadata.model == 'fake'\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from dmenet_tf.prediction import folders\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- maps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_maps_as_files_and_as_numbers(address, service, dtype):
    image = photo(dtype=dtype)
    expected = brightness(image / np.iinfo(dtype).max)
    with RemotePredictor(address) as predictor:
        sigma_px = predictor.sigma_px(image)
        assert sigma_px.dtype == np.float32 and sigma_px.shape == image.shape[:2]
        assert np.abs(sigma_px - expected).max() <= 0.51 * STEP
        assert service.requests[-1].model_spec.signature_name == contract.SIGNATURE_ENCODED
        np.testing.assert_allclose(7 * predictor.defocus(image), sigma_px, rtol=1e-6)
        file = encode_png(image)
        np.testing.assert_array_equal(predictor.predict_bytes(file), sigma_px)
        # What a PNG would round goes as numbers.
        np.testing.assert_allclose(predictor.sigma_px(image / np.iinfo(dtype).max), expected,
                                   atol=1e-5)  # fmt: skip
    with RemotePredictor(address, exact=True) as predictor:
        np.testing.assert_allclose(predictor.sigma_px(image), expected, atol=1e-5)
        np.testing.assert_allclose(7 * predictor.defocus(image), expected, atol=1e-5)
        assert service.requests[-1].model_spec.signature_name == contract.SIGNATURE_IMAGES
        assert list(service.requests[-1].output_filter) == ["defocus", "model"]


@pytest.mark.parametrize("encoding", ["paper", "released"])
def test_steps_of_16_bits_survive_the_way_over_the_label(encoding):
    """A server's PNG, the label, sigma again: a map written in 16 bits is the server's own."""
    stored = np.arange(contract.PNG_MAX + 1)
    sigma_px = stored.astype(np.float32) * np.float32(STEP)
    label = ENCODINGS[encoding].sigma_to_label(sigma_px).astype(np.float32)
    back = ENCODINGS[encoding].label_to_sigma(label)
    np.testing.assert_array_equal(np.rint(back / np.float32(STEP)), stored)
    assert back.max() <= contract.SIGMA_MAX_PX * (1 + 1e-6)  # what a map's file accepts


@pytest.mark.parametrize("size", [(1500, 1700), (20, 20_000), (1, 1)])
def test_photos_beyond_the_limits_go_in_tiles(address, service, size):
    image = photo(*size)
    with RemotePredictor(address) as predictor:
        sigma_px = predictor.sigma_px(image)
    assert np.abs(sigma_px - brightness(image / 255)).max() <= 0.51 * STEP
    # One more, the first, asks for the model.
    assert len(service.requests) == 1 + {1500: 4, 20: 2, 1: 1}[size[0]]


def test_sides_of_tiles_keep_the_limits():
    from dmenet_tf.prediction import tiling

    for height, width in (
        (1024, 1936), (1408, 1424), (4000, 6000), (16, 200_000), (16_400, 128), (1024, 2048),
        (30_000, 1600), (16_384, 112), (96_000, 96_000),
    ):  # fmt: skip
        side = client.largest_side(height, width)
        rows, columns = (
            [t.stop - t.start for t in tiling.tiles(length, side)] for length in (height, width)
        )
        assert max(rows) * max(columns) <= contract.MAX_PIXELS
        assert max(rows + columns) <= contract.MAX_SIDE_PX
    assert client.largest_side(1024, 1936) == 0
    assert client.largest_side(4000, 6000) >= 1024


def test_smaller_tiles_and_reduced_photos(address, service):
    with RemotePredictor(address, tile=64) as predictor:
        predictor.sigma_px(photo(128, 64), max_side=0)
        assert len(service.requests) == 2  # with a size given, nothing is asked before
    image = np.full((100, 200, 3), 51, np.uint8)
    with RemotePredictor(address) as predictor:
        prediction = predictor.predict(image, max_side=50)
    assert prediction.metadata.sigma_max_px == 28 and prediction.metadata.model == "fake"
    np.testing.assert_allclose(prediction.sigma_px, 4 * 7 * 0.2, atol=4 * STEP)
    with pytest.raises(ValueError, match="16"):
        RemotePredictor(address, tile=40)


def test_the_size_that_the_servers_model_recommends_is_taken(address, service):
    service.model["recommended_side"] = 50
    image = np.full((100, 200, 3), 51, np.uint8)
    with RemotePredictor(address) as predictor:
        assert predictor.predict(image).metadata.max_side == 50
        assert predictor.predict(image, max_side=0).metadata.max_side is None
        service.model["recommended_side"] = None  # a new version without one
        assert predictor.predict(image).metadata.max_side is None


def test_no_map_is_made_of_two_models(address, service):
    def new_version(number, _):
        service.model["model"] = "old" if number <= 1 else "new"

    service.before = new_version
    with RemotePredictor(address, tile=64) as predictor:
        image = photo(128, 64)
        prediction = predictor.predict(image, max_side=0)
        assert prediction.metadata.model == "new" and len(service.requests) == 4
        service.before = lambda number, _: service.model.update(model=str(number))
        with pytest.raises(ModelChanged, match="must come from one model") as raised:
            predictor.predict(image)
        assert raised.value.code == "ABORTED"


def test_answers_of_another_model_are_refused(address, service):
    with RemotePredictor(address) as predictor:
        for change in (
            {"encoding": "other"}, {"sigma_max_px": 9.0}, {"recommended_side": 3},
            {"recommended_side": "large"},
        ):  # fmt: skip
            before = dict(service.model)
            service.model.update(change)
            with pytest.raises(ServingError, match="must be that of a defocus model") as raised:
                predictor.sigma_px(photo())
            assert raised.value.code == "INTERNAL"
            service.model = before
        with pytest.raises(ServingError, match="lacks nothing"):
            predictor.backend.client.predict_encoded([encode_png(photo())], ("nothing",))
    with pytest.raises(DataFileError, match="it.jpg: must be a photo"):
        RemotePredictor(address).predict_bytes(b"no photo", "it.jpg")


# --- single calls ------------------------------------------------------------------------------


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


def test_threads_share_a_client(address, service):
    images = [photo(16 * n, 32) for n in range(1, 9)]
    with RemotePredictor(address) as predictor:
        maps = {}
        threads = [
            threading.Thread(target=lambda n=n: maps.update({n: predictor.sigma_px(images[n])}))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for n, image in enumerate(images):
        assert np.abs(maps[n] - brightness(image / 255)).max() <= 0.51 * STEP


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


def test_metadata_are_json_of_the_contract():
    from dmenet_tf.prediction.metadata import Metadata

    plain = json.loads(Metadata("m", "paper").to_json())
    assert tuple(plain) == contract.MODEL_FIELDS
    advised = json.loads(Metadata("m", "paper", recommended_side=320).to_json())
    assert tuple(advised) == contract.MODEL_FIELDS + contract.OPTIONAL_MODEL_FIELDS

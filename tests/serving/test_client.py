"""The client: no TensorFlow, limits, tiles, retries, deadlines, and what its errors say."""

import json
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest

from data_gen.io.errors import DataFileError
from data_gen.io.images import encode_png
from data_gen.optics import ENCODINGS
from dmenet_tf.prediction.predictor import ModelChanged
from serving import client, contract
from serving.client import RemotePredictor, ServingError
from tests.support.fake_service import brightness

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


def test_metadata_are_json_of_the_contract():
    from dmenet_tf.prediction.metadata import Metadata

    plain = json.loads(Metadata("m", "paper").to_json())
    assert tuple(plain) == contract.MODEL_FIELDS
    advised = json.loads(Metadata("m", "paper", recommended_side=320).to_json())
    assert tuple(advised) == contract.MODEL_FIELDS + contract.OPTIONAL_MODEL_FIELDS

"""The client against the exported model on the embedded server: maps equal local prediction."""

import contextlib
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
from PIL import Image

from dmenet_tf.prediction.local import Predictor
from serving import contract
from serving.client import SIGMA_STEP_PX, Client, ClientOptions, RemotePredictor, ServingError
from tests.support.fake_service import FakeService, brightness, serving
from tests.support.rounding import tolerance
from tests.support.server_process import ServerProcess

pytest.importorskip("serving.server")
from serving.exporting import publishing

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def local(exported):
    return Predictor(exported[0])


@pytest.fixture(scope="module")
def rounding(exported):
    """What maps of the same network may differ by, in `defocus`."""
    return tolerance(exported[0].model, photo(96, 112), 0.03)


@pytest.fixture(scope="module")
def models(exported):
    return exported[1]


def serve(models, **options):
    from serving.server import Server, ServerOptions

    return Server(ServerOptions(models=models, address="127.0.0.1:0", **options))


@pytest.fixture(scope="module")
def address(models):
    with serve(models) as server:
        yield f"127.0.0.1:{server.port}"


def photo(height, width, dtype=np.uint8):
    """Noise of several scales."""
    image = sum(
        RNG.random((height // s + 1, width // s + 1, 3)).repeat(s, 0).repeat(s, 1)[:height, :width]
        for s in (1, 8, 64)
    )
    return (image / 3 * np.iinfo(dtype).max).astype(dtype)


SIZES = (
    ((50, 70), np.uint8),
    ((64, 48), np.uint16),
    ((1, 3), np.uint8),
    ((16, 16_400), np.uint8),  # above MAX_SIDE_PX: tiles
    pytest.param((1100, 1900), np.uint8, marks=pytest.mark.slow),  # above MAX_PIXELS
)


@pytest.mark.parametrize("size, dtype", SIZES)
def test_maps_equal_local_prediction(local, address, rounding, size, dtype):
    image = photo(*size, dtype)
    expected = local.sigma_px(image)
    assert expected.std() > 0.01 or size == (1, 3)
    with RemotePredictor(address) as remote:
        as_file = remote.predict(image)
    with RemotePredictor(address, exact=True) as remote:
        exact, defocus = remote.sigma_px(image), remote.defocus(image)
    assert np.abs(exact - expected).max() <= 7 * rounding
    assert np.abs(defocus - local.defocus(image)).max() <= rounding
    # Half a step of the file, and rounding.
    assert np.abs(as_file.sigma_px - expected).max() <= SIGMA_STEP_PX / 2 + 7 * rounding
    assert as_file.metadata == local.predict(image).metadata


def test_a_reduced_photo_is_the_same_too(local, address, rounding):
    image = photo(120, 200)
    expected = local.sigma_px(image, max_side=100)
    with RemotePredictor(address) as remote:
        sigma_px = remote.sigma_px(image, max_side=100)
    # Half the size: twice the sigma, and twice its errors; the guided filter may double them.
    assert np.abs(sigma_px - expected).max() <= 4 * (SIGMA_STEP_PX / 2 + 7 * rounding)


def test_the_recommended_size_goes_from_the_export_to_the_clients_map(
    exported, local, rounding, tmp_path
):
    publishing.publish(exported[0], tmp_path / contract.MODEL_NAME, recommended_side=48)
    image = photo(64, 96)
    with serve(tmp_path) as server, RemotePredictor(f"127.0.0.1:{server.port}") as remote:
        made = remote.predict(image)
    assert (made.metadata.max_side, made.metadata.recommended_side) == (48, 48)
    expected = local.sigma_px(image, max_side=48)
    assert np.abs(made.sigma_px - expected).max() <= 4 * (SIGMA_STEP_PX / 2 + 7 * rounding)


def test_what_the_server_says(address):
    with Client(address) as asked:
        assert asked.status() == {1: "AVAILABLE"}
        assert asked.health() == "SERVING"
        with pytest.raises(ServingError) as raised:
            asked.predict_encoded([b"no picture, but long enough for one"])
        assert raised.value.code == "INVALID_ARGUMENT"
    for wrong in ({"version": 9}, {"label": "none"}, {"model": "other"}):
        with (
            RemotePredictor(address, ClientOptions(**wrong)) as remote,
            pytest.raises(ServingError) as raised,
        ):
            remote.backend.ask_metadata()
        assert raised.value.code == "NOT_FOUND"


def test_tls_and_mutual_tls(tmp_path):
    from tests.support.servers import make_certificates

    made = make_certificates(tmp_path)
    authority, image = made["authority"][0], photo(32, 32)
    certificate, key = made["localhost"]
    own = {"tls_certificate": made["client"][0], "tls_key": made["client"][1]}
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())], authority.read_bytes(), True
    )
    with serving(FakeService(), credentials=credentials) as address:
        known = {"tls_ca": authority, "tls_server_name": "localhost"}
        with RemotePredictor(address, ClientOptions(**known, **own)) as remote:
            expected = brightness(image / 255)
            assert np.abs(remote.sigma_px(image) - expected).max() <= SIGMA_STEP_PX
        for wrong in ({}, known, {**known, **own, "tls_server_name": "another"}):
            with (
                RemotePredictor(address, ClientOptions(retry_s=0, **wrong)) as remote,
                pytest.raises(ServingError, match="expect TLS") as raised,
            ):
                remote.backend.ask_metadata()
            assert raised.value.code == "UNAVAILABLE"


# --- a server that is killed -------------------------------------------------------------------


def test_a_folder_run_survives_kill_9_of_the_server(models, local, rounding, tmp_path):
    photos = {f"{n}.png": photo(200 + n, 240) for n in range(30)}
    (tmp_path / "in").mkdir()
    for name, image in photos.items():
        Image.fromarray(image).save(tmp_path / "in" / name)
    out = tmp_path / "out"
    with ServerProcess(models) as server, contextlib.ExitStack() as ended:
        run = subprocess.Popen(
            [sys.executable, "-m", "dmenet_tf.predict", str(tmp_path / "in"), "-o", str(out),
             "--server", server.address, "--write", "npy"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        ended.callback(run.kill)
        while len(list(out.glob("*.npy"))) < 5:
            assert run.poll() is None, run.communicate()
            time.sleep(0.005)
        server.kill()
        assert len(list(out.glob("*.npy"))) < len(photos)  # in the middle
        with ServerProcess(models, port=int(server.address.rpartition(":")[2])):
            output, error = run.communicate()
    assert run.returncode == 0, error
    assert "30 photos: 30 written" in output
    assert error.count("UNAVAILABLE") >= 1 and "trying again" in error
    left = {path.name for path in out.iterdir()}
    tables = {"summary.csv", "summary.json"}
    assert left == {f"{n}{end}" for n in photos for end in (".sigma.npy", ".json")} | tables
    for name, image in photos.items():
        sigma_px = np.load(out / f"{name}.sigma.npy")
        bound = SIGMA_STEP_PX / 2 + 7 * rounding
        assert np.abs(sigma_px - local.sigma_px(image)).max() <= bound, name

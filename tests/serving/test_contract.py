"""The contract, asked of a server over gRPC with the official messages.

Two servers: the embedded one with a small model, always, and TensorFlow Serving with whatever
version of `dmenet` it serves, where DMENET_SERVING_ADDRESS=HOST:PORT says so
(serving/config/compose.yaml starts one). TensorFlow Serving has not been asked where these tests
were written; its statuses are from its source (model_servers/server_core.cc,
servables/tensorflow/predict_util.cc).
"""

import json
import os

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from data_gen.optics import ENCODINGS
from data_gen.scenes.photographs import load_photographs
from serving import contract
from serving.server import Server, ServerOptions
from tests.support.plain_caller import TIMEOUT_S, PlainCaller

ODD_SIZES = [(1, 1), (5, 40), (33, 17), (61, 83)]
PHOTO = load_photographs()["chelsea"][50:121, 100:203]  # 71 x 103
STEP_PX = contract.SIGMA_MAX_PX / contract.PNG_MAX
AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


@pytest.fixture(scope="module")
def embedded(exported_released):
    _, models = exported_released
    with Server(ServerOptions(models=models, address="127.0.0.1:0")) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module", params=["embedded", "tensorflow_serving"])
def server(request):
    if request.param == "embedded":
        address = request.getfixturevalue("embedded")
    else:
        address = os.environ.get(contract.ADDRESS_VARIABLE)
        if not address:
            pytest.skip(
                f"needs TensorFlow Serving with the model: set {contract.ADDRESS_VARIABLE}"
                f"={contract.DEFAULT_ADDRESS} (serving/config/compose.yaml starts it)"
            )
    caller = PlainCaller(address)
    with caller.channel:
        yield caller


def png(pixels):
    """RGB(A) -> PNG bytes."""
    order = [2, 1, 0, 3][: pixels.shape[-1]]
    return cv2.imencode(".png", pixels[..., order])[1].tobytes()


def jpeg(pixels):
    return cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sigma_of(data):
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and stored.ndim == 2
    return stored * STEP_PX


def check_against_specs(found, specs):
    assert set(found) == set(specs)
    for name, (dtype, shape) in specs.items():
        array = found[name]
        wanted = np.dtype(object) if dtype == "string" else np.dtype(dtype)
        assert array.dtype == wanted, name
        assert array.ndim == len(shape), name
        for length, fixed in zip(array.shape, shape, strict=True):
            assert fixed in (None, length), name


# --- what is said of the model -------------------------------------------------------------------


def test_signatures(server):
    described = server.signatures()
    for signature in contract.INPUTS:
        sides = [
            (described[signature].inputs, contract.INPUTS[signature]),
            (described[signature].outputs, contract.OUTPUTS[signature]),
        ]
        for found, specs in sides:
            assert set(found) == set(specs)
            for name, (dtype, shape) in specs.items():
                assert tf.as_dtype(found[name].dtype).name == dtype
                assert not found[name].tensor_shape.unknown_rank, name
                lengths = [dim.size for dim in found[name].tensor_shape.dim]
                assert lengths == [-1 if length is None else length for length in shape], name


def test_status_and_pinned_version(server):
    versions = server.status()
    available = [version for version, state in versions.items() if state == AVAILABLE]
    assert available
    for version in available:
        assert server.status(version=version) == {version: AVAILABLE}
        images = {contract.IMAGES: np.full((1, 3, 4, 3), 0.5, np.float32)}
        _, spec = server.predict(images, version=version)
        assert spec.name == contract.MODEL_NAME
        assert spec.version.value == version
    # Without a version: the highest.
    _, spec = server.predict(images)
    assert spec.version.value == max(available)


def test_the_model_output_is_what_reads_as_metadata(server):
    images = np.full((2, 3, 4, 3), 0.5)
    texts = [*server.maps(images)[contract.MODEL]]
    texts += [*server.encoded(png(PHOTO))[contract.MODEL]]
    assert len(texts) == 3 and len(set(texts)) == 1
    about = json.loads(texts[0])
    assert set(about) - set(contract.OPTIONAL_MODEL_FIELDS) == set(contract.MODEL_FIELDS)
    assert about["encoding"] in ENCODINGS
    assert about["sigma_max_px"] == contract.SIGMA_MAX_PX


# --- pixels in, numbers out --------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_maps_have_the_images_size(server, height, width):
    images = np.stack([noise(height, width, seed) / 255 for seed in (0, 1)])
    found = server.maps(images)
    check_against_specs(found, contract.OUTPUTS[contract.SIGNATURE_IMAGES])
    assert found[contract.DEFOCUS].shape == found[contract.SIGMA_PX].shape == (2, height, width, 1)
    for name, largest in [(contract.DEFOCUS, 1), (contract.SIGMA_PX, contract.SIGMA_MAX_PX)]:
        assert found[name].min() >= 0 and found[name].max() <= largest


def test_units_follow_the_encoding(server):
    found = server.maps(PHOTO[None] / 255)
    encoding = ENCODINGS[json.loads(found[contract.MODEL][0])["encoding"]]
    label = found[contract.DEFOCUS].astype(np.float64)
    sigma_px = (label * encoding.label_max - encoding.offset) / encoding.gain
    expected = np.clip(sigma_px, 0, contract.SIGMA_MAX_PX)
    np.testing.assert_allclose(found[contract.SIGMA_PX], expected, atol=1e-5)
    assert np.ptp(expected) > 0


def test_the_default_signature_is_the_one_of_pixels(server):
    images = {contract.IMAGES: np.full((1, 4, 4, 3), 0.5, np.float32)}
    unnamed, _ = server.predict(images)
    named, spec = server.predict(images, contract.SIGNATURE_IMAGES)
    assert spec.signature_name == contract.SIGNATURE_IMAGES
    for name in contract.OUTPUTS[contract.SIGNATURE_IMAGES]:
        np.testing.assert_array_equal(unnamed[name], named[name])


def test_only_the_outputs_that_are_asked_for(server):
    found = server.maps(np.full((1, 4, 4, 3), 0.5), outputs=[contract.SIGMA_PX])
    assert set(found) == {contract.SIGMA_PX}
    wanted = [contract.SIZE_PX, contract.SHARE_SHARP]
    assert set(server.encoded(png(PHOTO), outputs=wanted)) == set(wanted)


# --- files in, files out -----------------------------------------------------------------------


def test_pngs_are_the_map_in_steps(server):
    exact = server.maps(PHOTO[None] / 255)[contract.SIGMA_PX][0, ..., 0]
    found = server.encoded(png(PHOTO))
    check_against_specs(found, contract.OUTPUTS[contract.SIGNATURE_ENCODED])
    sigma_px = sigma_of(found[contract.SIGMA_PNG][0])
    np.testing.assert_allclose(sigma_px, exact, atol=STEP_PX + 1e-5)


def test_files_of_several_kinds_and_sizes_in_one_request(server):
    opaque = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 7, np.uint8)])
    deep = PHOTO.astype(np.uint16) * 257
    small = noise(9, 14)
    found = server.encoded(png(PHOTO), png(opaque), png(deep), jpeg(PHOTO), png(small))
    check_against_specs(found, contract.OUTPUTS[contract.SIGNATURE_ENCODED])
    sizes = [PHOTO.shape[:2]] * 4 + [(9, 14)]
    assert found[contract.SIZE_PX].tolist() == [list(size) for size in sizes]
    maps = [sigma_of(data) for data in found[contract.SIGMA_PNG]]
    assert [sigma_px.shape for sigma_px in maps] == sizes
    for same in maps[1:3]:
        np.testing.assert_allclose(same, maps[0], atol=STEP_PX * 1.5)


def test_figures_agree_with_the_map(server):
    found = server.encoded(png(PHOTO), png(noise(40, 31)))
    for index, data in enumerate(found[contract.SIGMA_PNG]):
        sigma_px = sigma_of(data)
        sharp = found[contract.SHARE_SHARP][index]
        limit = contract.SHARP_BELOW_PX
        assert (sigma_px < limit - STEP_PX).mean() - 1e-6 <= sharp
        assert sharp <= (sigma_px < limit + STEP_PX).mean() + 1e-6
        focused = (1 - found[contract.FOCUS_SCORE][index]) * contract.SIGMA_MAX_PX
        for share, value in [(0.5, found[contract.MEDIAN_SIGMA_PX][index]), (0.1, focused)]:
            assert (sigma_px < value - 1.5 * STEP_PX).mean() <= share
            assert (sigma_px <= value + 1.5 * STEP_PX).mean() >= share


@pytest.mark.slow
def test_the_largest_image_fits_into_a_default_message(server):
    height, width = 1000, contract.MAX_PIXELS // 1000
    assert height * width == contract.MAX_PIXELS
    # The caller set no limit: a longer reply would be RESOURCE_EXHAUSTED.
    found = server.encoded(jpeg(noise(height, width)))
    (data,) = found[contract.SIGMA_PNG]
    assert sigma_of(data).shape == (height, width)
    assert sum(len(b"".join(v)) if v.dtype == object else v.nbytes for v in found.values()) < (
        contract.DEFAULT_MESSAGE_BYTES
    )


def test_no_map_can_be_a_png_beyond_a_default_message():
    """Whatever the network makes of an image: noise is what a PNG compresses least."""
    height, width = 1000, contract.MAX_PIXELS // 1000
    stored = np.random.default_rng(0).integers(0, 65536, (height, width), dtype=np.uint16)
    size = len(tf.io.encode_png(stored[..., None]).numpy())
    assert 2 * stored.size < size < contract.DEFAULT_MESSAGE_BYTES - 10_000


# --- what is refused ---------------------------------------------------------------------------

HALF = np.full((1, 4, 4, 3), 0.5, np.float32)
NOT_A_NUMBER = np.full((1, 4, 4, 3), np.nan, np.float32)
TOO_MANY = cv2.imencode(".png", np.zeros((1001, contract.MAX_PIXELS // 1000), np.uint8))[1]
TOO_LONG = cv2.imencode(".png", np.zeros((1, contract.MAX_SIDE_PX + 1), np.uint8))[1]

INVALID = {
    "name of an input": lambda ask: ask.predict({"pixels": HALF}),
    "no input": lambda ask: ask.predict({}),
    "one input too many": lambda ask: ask.predict({contract.IMAGES: HALF, "more": HALF}),
    "input of the other signature": lambda ask: ask.predict(
        {contract.IMAGES: HALF}, contract.SIGNATURE_ENCODED
    ),
    "float64": lambda ask: ask.predict({contract.IMAGES: HALF.astype(np.float64)}),
    "uint8": lambda ask: ask.predict({contract.IMAGES: (HALF * 255).astype(np.uint8)}),
    "string for pixels": lambda ask: ask.predict({contract.IMAGES: np.array([b"x"], object)}),
    "rank 3": lambda ask: ask.maps(HALF[0]),
    "four channels": lambda ask: ask.maps(np.full((1, 4, 4, 4), 0.5)),
    "an unknown output": lambda ask: ask.maps(HALF, outputs=["depth"]),
    "above 1": lambda ask: ask.maps(HALF * 255),
    "below 0": lambda ask: ask.maps(-HALF),
    "not a number": lambda ask: ask.maps(NOT_A_NUMBER),
    "no image": lambda ask: ask.maps(HALF[:0]),
    "no pixel": lambda ask: ask.maps(HALF[:, :0]),
    "an empty file": lambda ask: ask.encoded(b""),
    "text": lambda ask: ask.encoded(b"this is no image, though it is long enough to be one"),
    "a GIF": lambda ask: ask.encoded(b"GIF89a" + bytes(60)),
    "a truncated PNG": lambda ask: ask.encoded(png(PHOTO)[:-200]),
    "a truncated JPEG": lambda ask: ask.encoded(jpeg(PHOTO)[:-200]),
    "one bad file of two": lambda ask: ask.encoded(png(PHOTO), b"x" * 100),
    "too many pixels": lambda ask: ask.encoded(TOO_MANY.tobytes()),
    "too long a side": lambda ask: ask.encoded(TOO_LONG.tobytes()),
}


def code_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.details()
    return caught.value.code()


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_argument(server, what):
    assert code_of(lambda: INVALID[what](server)) == grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_not_there(server):
    missing = grpc.StatusCode.NOT_FOUND
    assert code_of(lambda: server.maps(HALF, name="another")) == missing
    assert code_of(lambda: server.maps(HALF, version=987_654)) == missing
    assert code_of(lambda: server.signatures(name="another")) == missing
    assert code_of(lambda: server.signatures(version=987_654)) == missing
    assert code_of(lambda: server.status(name="another")) == missing
    assert code_of(lambda: server.status(version=987_654)) == missing


def test_an_unknown_label(server, request):
    """TensorFlow Serving: INVALID_ARGUMENT, "Unrecognized servable version label"."""
    allowed = {grpc.StatusCode.NOT_FOUND}
    if "tensorflow_serving" in request.node.callspec.id:
        allowed = {grpc.StatusCode.INVALID_ARGUMENT}
    assert code_of(lambda: server.maps(HALF, label="no-such-label")) in allowed


def test_an_unknown_signature(server):
    code = code_of(lambda: server.predict({contract.IMAGES: HALF}, "another"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION


def test_metadata_of_another_kind(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["weights"])
    server.fill(request.model_spec)
    code = code_of(lambda: server.prediction.GetModelMetadata(request, timeout=TIMEOUT_S))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_deadline_that_cannot_be_met(server):
    image = noise(300, 300) / 255
    code = code_of(lambda: server.maps(image[None], timeout=0.001))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.maps(HALF)[contract.SIGMA_PX].shape == (1, 4, 4, 1)


def test_good_requests_after_all_that(server):
    assert server.encoded(png(PHOTO))[contract.SIZE_PX].tolist() == [list(PHOTO.shape[:2])]

"""The exported model through TensorFlow's C API: loaded and run as by TensorFlow Serving."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

from tensorflow.python.framework.test_util import IsMklEnabled

from data_gen.scenes.photographs import load_photographs
from dmenet_tf.prediction.local import Predictor
from serving import contract
from tests.support import c_api, exchange
from tests.support.paths import ROOT

if c_api.library_path() is None:
    pytest.skip(f"this TensorFlow comes without {c_api.LIBRARY}", allow_module_level=True)

PHOTO = load_photographs()["chelsea"][60:181, 110:271]  # 121 x 161
PROGRAM = """if True:
    import sys
    from tests.support import c_api, exchange

    requests, replies = exchange.read(sys.argv[2]), {}
    with c_api.SavedModel(sys.argv[1]) as model:
        for case, value in requests.items():
            signature = case.split("/")[0]
            try:
                outputs = model(signature, value)
            except c_api.CApiError as error:
                outputs = {"error": [error.code.encode(), str(error).encode()]}
            replies.update({f"{case}/{name}": output for name, output in outputs.items()})
    exchange.write(sys.argv[3], replies)
    assert not [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")]
"""


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def jpeg(image):
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def as_float(images):
    return np.asarray(images, np.float32) / np.float32(255)


IMAGES = [PHOTO, PHOTO[:48, :33], PHOTO[20:21, 30:37]]
BATCH = np.stack([PHOTO[:37, :45], PHOTO[60:97, 60:105]])
REFUSED = {
    f"{contract.SIGNATURE_ENCODED}/words": ([png(PHOTO), 40 * b"words "], "be a JPEG or PNG file"),
    f"{contract.SIGNATURE_ENCODED}/truncated": ([png(PHOTO)[:-900]], "PNG"),
    f"{contract.SIGNATURE_IMAGES}/bright": (as_float(BATCH) + 1, "images must be RGB in [0, 1]"),
    f"{contract.SIGNATURE_IMAGES}/rank": (as_float(PHOTO), "dimension"),
}


pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def local(exported):
    return Predictor(exported[0])


@pytest.fixture(scope="module")
def replies(exported, tmp_path_factory):
    """What a process without TensorFlow's Python received: {signature/case/output: value}."""
    folder = tmp_path_factory.mktemp("c_api")
    version = exported[1] / contract.MODEL_NAME / "1"
    requests = {
        f"{contract.SIGNATURE_IMAGES}/one": as_float(PHOTO)[None],
        f"{contract.SIGNATURE_IMAGES}/two": as_float(BATCH),
        # The session goes on after a refusal: the files come last.
        **{case: value for case, (value, _) in REFUSED.items()},
        f"{contract.SIGNATURE_ENCODED}/png": [png(image) for image in IMAGES],
        f"{contract.SIGNATURE_ENCODED}/jpeg": [jpeg(image) for image in IMAGES],
    }
    exchange.write(folder / "requests.npz", requests)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, version, folder / "requests.npz", folder / "replies.npz"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # The kernels of this process, whose rounding is their own: they differ by 1e-4 px.
            "TF_ENABLE_ONEDNN_OPTS": str(int(IsMklEnabled())),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return exchange.read(folder / "replies.npz")


def sigma_of_png(data):
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and stored.ndim == 2
    return stored * (contract.SIGMA_MAX_PX / contract.PNG_MAX)


@pytest.mark.parametrize(("case", "images"), [("one", PHOTO[None]), ("two", BATCH)])
def test_pixels_give_the_local_maps(replies, local, case, images):
    case = f"{contract.SIGNATURE_IMAGES}/{case}"
    sigma_px, defocus = (replies[f"{case}/{n}"] for n in (contract.SIGMA_PX, contract.DEFOCUS))
    assert sigma_px.shape == defocus.shape == (*images.shape[:3], 1)
    # Kernels for a batch sum in an order of their own.
    allowed_px = 1e-5 if len(images) == 1 else 1e-4
    for i, image in enumerate(images):
        expected = local.sigma_px(image)
        assert np.ptp(expected) > 1  # a constant would prove nothing
        np.testing.assert_allclose(sigma_px[i, ..., 0], expected, rtol=0, atol=allowed_px)
        np.testing.assert_allclose(
            defocus[i, ..., 0], expected / contract.SIGMA_MAX_PX, rtol=0, atol=allowed_px
        )
    about = replies[f"{case}/{contract.MODEL}"]
    assert len(about) == len(images) and b"0123456789ab" in about[-1]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_files_give_the_local_maps_to_a_step(replies, local, kind):
    case = f"{contract.SIGNATURE_ENCODED}/{kind}"
    assert {name.rsplit("/", 1)[1] for name in replies if name.startswith(f"{case}/")} == set(
        contract.OUTPUTS[contract.SIGNATURE_ENCODED]
    )
    step = contract.SIGMA_MAX_PX / contract.PNG_MAX
    for i, image in enumerate(IMAGES):
        if kind == "jpeg":
            image = cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        sigma_px = sigma_of_png(replies[f"{case}/{contract.SIGMA_PNG}"][i])
        np.testing.assert_allclose(sigma_px, local.sigma_px(image), rtol=0, atol=step)
        assert tuple(replies[f"{case}/{contract.SIZE_PX}"][i]) == image.shape[:2]
        share = np.mean(sigma_px < contract.SHARP_BELOW_PX)
        assert replies[f"{case}/{contract.SHARE_SHARP}"][i] == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_has_its_status_and_rule(replies, case):
    code, message = replies[f"{case}/error"]
    assert code == b"INVALID_ARGUMENT" and REFUSED[case][1].encode() in message, message


def test_a_folder_without_a_model_is_a_readable_error(tmp_path):
    """In this process: the library is the one that TensorFlow's Python has loaded already."""
    with pytest.raises(c_api.CApiError, match="TF_LoadSessionFromSavedModel: NOT_FOUND: .*") as e:
        c_api.SavedModel(tmp_path)
    assert e.value.code == "NOT_FOUND" and str(tmp_path) in str(e.value)


def test_tensors_survive_the_exchange(tmp_path):
    tensors = {"a/b": np.arange(6, dtype=np.int32).reshape(2, 3), "c": [b"\0x\0", b"", b"y"]}
    exchange.write(tmp_path / "t.npz", tensors)
    back = exchange.read(tmp_path / "t.npz")
    np.testing.assert_array_equal(back["a/b"], tensors["a/b"])
    assert back["c"] == tensors["c"] and list(back) == list(tensors)

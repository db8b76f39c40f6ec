"""The exported graph: signatures, maps and figures as the local ones, and what it refuses."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis import prediction_log_pb2

from data_gen.optics import ENCODINGS, SIGMA_MAX_PX
from data_gen.scenes.photographs import load_photographs
from dmenet_tf.prediction.local import Predictor
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.sharpness import SHARP_BELOW_PX
from dmenet_tf.prediction.summaries import measure
from dmenet_tf.weights.load import AUTHORS_TERMS
from serving import contract
from serving.exporting import verification
from serving.saved_model.session import LoadedModel

PHOTO = load_photographs()["chelsea"][50:171, 100:261]  # 121 x 161: no multiples of 16


class Served:
    """All outputs of a signature for its one input."""

    def __init__(self, model: LoadedModel):
        self.model = model

    def __call__(self, signature: str, value) -> dict[str, np.ndarray]:
        (name,) = contract.INPUTS[signature]
        return self.model.signature(signature).run({name: value})


@pytest.fixture(scope="module")
def trained(exported):
    return exported[0]


@pytest.fixture(scope="module")
def folder(exported):
    return exported[1] / contract.MODEL_NAME / "1"


@pytest.fixture(scope="module")
def served(folder):
    with LoadedModel(folder) as model:
        yield Served(model)


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def as_float(image):
    return image[None].astype(np.float32) / np.float32(255)


def sigma_of_png(data):
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and stored.ndim == 2
    return stored * (contract.SIGMA_MAX_PX / contract.PNG_MAX)


def test_the_contract_speaks_the_projects_units():
    assert contract.SIGMA_MAX_PX == SIGMA_MAX_PX
    assert tuple(Metadata("m", "paper").as_dict()) == contract.MODEL_FIELDS
    assert set(contract.OPTIONAL_MODEL_FIELDS) <= set(Metadata.__dataclass_fields__)
    assert contract.SHARP_BELOW_PX == SHARP_BELOW_PX


def test_signatures_are_the_contracts(served):
    for signature in contract.INPUTS:
        described = served.model.signature(signature)
        for expected, found in (
            (contract.INPUTS[signature], described.inputs),
            (contract.OUTPUTS[signature], described.outputs),
        ):
            assert set(found) == set(expected)
            for name, (dtype, shape) in expected.items():
                assert tf.as_dtype(found[name].dtype).name == dtype
                rank = [None if d.size == -1 else d.size for d in found[name].tensor_shape.dim]
                assert tuple(rank) == shape, name


@pytest.mark.parametrize("size", [(1, 1), (5, 39), (16, 32), (47, 33)])
def test_pixels_give_the_local_map(served, trained, size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    outputs = served(contract.SIGNATURE_IMAGES, as_float(image))
    local = Predictor(trained)
    np.testing.assert_allclose(outputs["defocus"][0, ..., 0], local.defocus(image), atol=1e-6)
    np.testing.assert_allclose(outputs["sigma_px"][0, ..., 0], local.sigma_px(image), atol=1e-5)
    assert json.loads(outputs["model"][0])["model"] == "0123456789ab"


def test_a_batch_gives_each_images_map(served):
    images = np.random.default_rng(2).random((3, 20, 35, 3), np.float32)
    together = served(contract.SIGNATURE_IMAGES, images)["sigma_px"]
    for image, sigma_px in zip(images, together, strict=True):
        alone = served(contract.SIGNATURE_IMAGES, image[None])["sigma_px"][0]
        np.testing.assert_allclose(sigma_px, alone, atol=1e-4)  # other kernels for a batch


def test_files_of_several_sizes_give_the_local_maps_and_figures(served, trained):
    images = [PHOTO, PHOTO[:40, :33], PHOTO[:1, :1]]
    outputs = served(contract.SIGNATURE_ENCODED, [encoded(image) for image in images])
    local = Predictor(trained)
    for i, image in enumerate(images):
        sigma_px = local.sigma_px(image)
        np.testing.assert_allclose(
            sigma_of_png(outputs["sigma_png"][i]), sigma_px, atol=contract.SIGMA_MAX_PX / 65535
        )
        assert tuple(outputs["size_px"][i]) == image.shape[:2]
        figures = measure(sigma_px, contract.SHARP_BELOW_PX)
        step = contract.SIGMA_MAX_PX / contract.PNG_MAX
        assert outputs["share_sharp"][i] == pytest.approx(figures["share_sharp"], abs=1e-3)
        assert outputs["median_sigma_px"][i] == pytest.approx(figures["median_sigma_px"], abs=step)
        score = 1 - figures["sharpest_sigma_px"] / contract.SIGMA_MAX_PX
        assert outputs["focus_score"][i] == pytest.approx(score, abs=step)
    assert np.ptp(local.sigma_px(PHOTO)) > 1  # the maps that agree are no constants


def test_a_jpeg_is_decoded_to_the_pixels_that_pillow_gives(served):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=85)
    pixels = np.asarray(Image.open(file))
    outputs = served(contract.SIGNATURE_ENCODED, [file.getvalue(), encoded(pixels)])
    assert outputs["sigma_png"][0] == outputs["sigma_png"][1]


def test_16_bit_grey_and_alpha(served):
    deep = (PHOTO.astype(np.uint16) * 257)[..., ::-1]
    alpha = np.dstack([PHOTO[..., ::-1], np.full(PHOTO.shape[:2], 9, np.uint8)])
    grey = PHOTO[..., 0]
    files = [cv2.imencode(".png", image)[1].tobytes() for image in (deep, alpha, grey)]
    outputs = served(contract.SIGNATURE_ENCODED, [encoded(PHOTO), *files])["sigma_png"]
    assert outputs[0] == outputs[1] == outputs[2]
    as_colour = served(contract.SIGNATURE_ENCODED, [encoded(np.dstack([grey] * 3))])
    assert outputs[3] == as_colour["sigma_png"][0]


def png_that_declares(width, height):
    """A PNG of 33 bytes and more, whose header declares a size of its own."""
    whole = bytearray(encoded(PHOTO[:8, :8]))
    whole[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(whole)


def jpeg_that_declares(width, height):
    whole = bytearray(encoded(PHOTO[:8, :8], ".jpg"))
    start = whole.index(b"\xff\xc0")
    whole[start + 5 : start + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(whole)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must be a JPEG or PNG"),
        (b"no image at all, only words that go on and on", "must be a JPEG or PNG"),
        (encoded(PHOTO)[:-500], "PNG"),
        (encoded(PHOTO, ".jpg")[:-500], "JPEG"),
        (encoded(PHOTO)[:40], "PNG"),
        (png_that_declares(60_000, 60_000), "1 to 16384 px"),
        (png_that_declares(2**31 + 5, 8), "1 to 16384 px"),
        (png_that_declares(8, 0), "1 to 16384 px"),
        (png_that_declares(2000, 1001), "at most 2000000 pixels"),
        (jpeg_that_declares(2000, 1001), "at most 2000000 pixels"),
        (jpeg_that_declares(60_000, 60_000), "1 to 16384 px"),
    ],
)
def test_what_is_no_image_or_too_large_is_refused(served, data, rule):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        served(contract.SIGNATURE_ENCODED, [encoded(PHOTO), data])


@pytest.mark.parametrize(
    ("images", "rule"),
    [
        (np.full((1, 4, 4, 3), np.nan, np.float32), r"RGB in \[0, 1\]"),
        (np.full((1, 4, 4, 3), 1.01, np.float32), r"RGB in \[0, 1\]"),
        (np.full((1, 4, 4, 3), -0.01, np.float32), r"RGB in \[0, 1\]"),
        (np.zeros((0, 4, 4, 3), np.float32), "there must be an image"),
        (np.zeros((1, 4, 0, 3), np.float32), "1 to 16384 px"),
        (np.zeros((1, 1, 16_385, 3), np.float32), "1 to 16384 px"),
        (np.zeros((1, 2000, 1001, 3), np.float32), "at most 2000000 pixels"),
    ],
)
def test_pixels_beyond_the_limits_are_refused(served, images, rule):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        served(contract.SIGNATURE_IMAGES, images)


def test_the_reply_to_the_largest_image_fits_the_default_message():
    """The bound itself: what the graph's own encoder makes of noise, which nothing compresses."""
    rng = np.random.default_rng(0)
    for height in (1414, contract.MAX_SIDE_PX):
        width = contract.MAX_PIXELS // height
        noise = tf.constant(rng.integers(0, 65536, (height, width, 1), dtype=np.uint16))
        size = len(tf.io.encode_png(noise, 3).numpy())
        assert 2 * height * width < size < contract.DEFAULT_MESSAGE_BYTES - 4096


def test_operations_are_old_ones_and_run_anywhere(folder):
    """No Python, no custom operation, no compilation asked for; nothing younger than TF 2.4."""
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = list(graph.node) + [n for f in graph.library.function for n in f.node_def]
    kinds = {node.op for node in nodes}
    assert {"Conv2D", "DecodePng", "EncodePng"} <= kinds
    assert not [kind for kind in kinds if "PyFunc" in kind or "Xla" in kind]
    assert not [n.name for n in nodes if n.attr["_XlaMustCompile"].b]
    assert not [f for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert all(hasattr(tf.raw_ops, kind) for kind in kinds)
    large = [n.attr["value"].SerializeToString() for n in nodes if n.op == "Const"]
    large = [value for value in large if len(value) > 1000]
    assert len(large) >= 15 and len(set(large)) == len(large)  # both signatures share the weights


def test_metadata_warmup_and_permissions(folder, served):
    about = json.loads((folder / contract.METADATA_FILE).read_text())
    assert about["model"] == "0123456789ab" and about["encoding"] == "paper"
    assert about["labels"].keys() >= {"defocus", "sigma_px"}
    assert about["verification"]["defocus"] <= verification.LARGEST_DIFFERENCE
    assert not (folder / contract.LICENCE_FILE).exists()
    assert folder.stat().st_mode & 0o777 == 0o755
    asked = set()
    for record in tf.data.TFRecordDataset(str(folder / contract.WARMUP_FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == contract.MODEL_NAME
        signature = request.model_spec.signature_name
        (name,) = contract.INPUTS[signature]
        served(signature, tf.make_ndarray(request.inputs[name]))
        asked.add(signature)
    assert asked == set(contract.INPUTS)


def test_the_authors_unit_and_terms(exported_released):
    folder = exported_released[1] / contract.MODEL_NAME / "1"
    assert (folder / contract.LICENCE_FILE).read_text().strip() == AUTHORS_TERMS
    with LoadedModel(folder) as model:
        outputs = Served(model)(contract.SIGNATURE_IMAGES, as_float(PHOTO))
    expected = ENCODINGS["released"].label_to_sigma(outputs["defocus"])
    assert expected.max() > 1 and expected.min() == 0
    np.testing.assert_allclose(outputs["sigma_px"], expected, atol=1e-5)
    assert json.loads(outputs["model"][0])["licence"] == AUTHORS_TERMS

"""The embedded server over HTTP: TensorFlow Serving's REST form, health and metrics."""

import base64
import json

import numpy as np
import pytest

from data_gen.io.images import decode_stored
from serving import contract
from serving.server import Server, ServerOptions
from tests.support.http_calls import ask
from tests.support.servers import metric
from tests.support.serving_calls import image_file

MODEL = f"/v1/models/{contract.MODEL_NAME}"
PREDICT = f"{MODEL}:predict"
PIXELS = np.linspace(0, 1, 2 * 2 * 3 * 3).reshape(2, 2, 3, 3).tolist()  # two images, 2 x 3
SIGMA_PX = 7 * np.mean(PIXELS, axis=-1, keepdims=True)  # the tiny model's


def predict(running, document, path=PREDICT):
    return ask(running.http_port, "POST", path, json.dumps(document))


def test_status_is_tensorflow_servings(running):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    for path in (MODEL, f"{MODEL}/versions/1"):
        answer = ask(running.http_port, "GET", path)
        assert (answer.status, answer.json) == (200, expected)
        assert answer.headers["Content-Type"] == "application/json"


def test_metadata_has_the_signatures(running):
    answer = ask(running.http_port, "GET", f"{MODEL}/versions/1/metadata").json
    assert answer["model_spec"]["version"] == "1"
    found = answer["metadata"]["signature_def"]["signature_def"]
    info = found[contract.SIGNATURE_IMAGES]["inputs"][contract.IMAGES]
    assert info["dtype"] == "DT_FLOAT"
    assert [d["size"] for d in info["tensor_shape"]["dim"]] == ["-1", "-1", "-1", "3"]


def test_rows_give_rows(running):
    answer = predict(running, {"instances": PIXELS})
    assert answer.status == 200
    rows = answer.json["predictions"]
    assert [set(row) for row in rows] == [set(contract.OUTPUTS[contract.SIGNATURE_IMAGES])] * 2
    np.testing.assert_allclose([row["sigma_px"] for row in rows], SIGMA_PX, atol=1e-5)
    assert json.loads(rows[0]["model"])["model"] == "tiny 1"
    named = predict(running, {"instances": [{"images": image} for image in PIXELS]})
    assert named.json == answer.json


def test_columns_give_columns(running):
    for inputs in (PIXELS, {"images": PIXELS}):
        outputs = predict(running, {"inputs": inputs}).json["outputs"]
        np.testing.assert_allclose(outputs["sigma_px"], SIGMA_PX, atol=1e-5)


def test_files_go_both_ways_as_base64(running):
    rows = [{"b64": base64.b64encode(image_file(h, w)).decode()} for h, w in ((8, 12), (20, 10))]
    answer = predict(running, {"signature_name": "encoded", "instances": rows})
    assert answer.status == 200, answer.body
    found = answer.json["predictions"]
    assert [row["size_px"] for row in found] == [[8, 12], [20, 10]]
    png = base64.b64decode(found[1]["sigma_png"]["b64"])
    assert decode_stored(png, "the map").shape == (20, 10)


def test_numbers_are_those_of_float32(running):
    """As short as they can be: 0.1, and not 0.10000000149011612."""
    body = predict(running, {"inputs": [[[[0.1, 0.1, 0.1]]]]}).body
    assert b'"defocus":[[[[0.1]]]]' in body


INVALID = {
    "no JSON": b"{",
    "no object": b"[1]",
    "neither": b"{}",
    "both": b'{"instances": [], "inputs": []}',
    "no list": b'{"instances": 3}',
    "ragged": b'{"inputs": [[[[0.1, 0.2, 0.3], [0.1]]]]}',
    "text for numbers": b'{"inputs": [[[["a", "b", "c"]]]]}',
    "an object for numbers": b'{"inputs": [[[[{}, {}, {}]]]]}',
    "rank 3": b'{"inputs": [[[0.1, 0.2, 0.3]]]}',
    "beyond [0, 1]": b'{"inputs": [[[[2, 2, 2]]]]}',
    "beyond float32": b'{"inputs": [[[[1e60, 0, 0]]]]}',
    "no image": b'{"inputs": []}',
    "another input": b'{"inputs": {"pixels": []}}',
    "rows of two kinds": b'{"instances": [{"images": []}, []]}',
    "rows of different inputs": b'{"instances": [{"images": []}, {"pixels": []}]}',
    "a signature's name": b'{"signature_name": 1, "inputs": []}',
    "an unknown signature": b'{"signature_name": "other", "inputs": []}',
    "no base64": b'{"signature_name": "encoded", "inputs": [{"b64": "?"}]}',
    "base64 of a number": b'{"signature_name": "encoded", "inputs": [{"b64": 3}]}',
    "a number for a file": b'{"signature_name": "encoded", "inputs": [3]}',
    "text for a file": b'{"signature_name": "encoded", "inputs": ["hello"]}',
    "depth": b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}",
    "depth beyond the parser's": b'{"inputs": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("what", INVALID)
def test_a_wrong_body_is_400_with_a_reason(running, what):
    answer = ask(running.http_port, "POST", PREDICT, INVALID[what])
    assert answer.status == 400
    assert answer.error and "\n" not in answer.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/other", 404),
        ("GET", f"{MODEL}/versions/9", 404),
        ("GET", f"{MODEL}/labels/stable", 404),
        ("GET", f"{MODEL}/versions/9/metadata", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", f"{MODEL}/versions/9:predict", 404),
        ("POST", f"{MODEL}:classify", 501),
        ("GET", f"{MODEL}:predict", 400),
        ("POST", MODEL, 400),
        ("GET", "/v1/models", 400),
        ("GET", f"{MODEL}/versions/{2**63}", 400),
        ("GET", "//[x", 404),
        ("GET", "/", 404),
        ("POST", contract.METRICS_PATH, 400),
        ("DELETE", MODEL, 501),
    ],
)
def test_statuses_of_paths(running, method, path, status):
    body = b'{"instances": []}' if method == "POST" else None
    answer = ask(running.http_port, method, path, body)
    assert answer.status == status
    assert answer.error


def test_versions_and_labels(models, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        'model_config_list { config { name: "dmenet" model_platform: "tensorflow" '
        f'base_path: "{models / contract.MODEL_NAME}" '
        'version_labels { key: "stable" value: 1 } } }'
    )
    options = ServerOptions(config=config, address="127.0.0.1:0", http_port=0)
    with Server(options) as one:
        for choice in ("versions/1", "labels/stable"):
            answer = predict(one, {"instances": PIXELS}, f"{MODEL}/{choice}:predict")
            assert answer.status == 200
        assert ask(one.http_port, "GET", f"{MODEL}/labels/stable").status == 200


def test_health_and_metrics(running):
    answer = ask(running.http_port, "GET", contract.HEALTH_PATH)
    assert (answer.status, answer.json) == (200, {"status": "SERVING"})
    before = metric(running, "dmenet_requests_total", code="INVALID_ARGUMENT")
    predict(running, {"inputs": [[[[2, 2, 2]]]]})
    assert metric(running, "dmenet_requests_total", code="INVALID_ARGUMENT") == before + 1


def test_statuses_are_the_contracts():
    import grpc

    assert set(contract.HTTP_STATUS) <= {code.name for code in grpc.StatusCode}

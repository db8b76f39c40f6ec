"""serving/config: every file parses as what reads it would, and agrees with the contract.

No container engine runs here: flags and fields are held against TensorFlow Serving's own messages
where its Python package has them, and against tables of the rest.
"""

import re
import shutil
import socket
import subprocess
import threading

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

pytest.importorskip("yaml")

import yaml

from serving import contract
from tests.support.config_files import (
    CONFIG,
    GRPC_PORT,
    HTTP_PORT,
    compose,
    container,
    flags,
    services,
)

# Flags of tensorflow_model_server (model_servers/main.cc), those used here.
FLAGS = {
    "port", "rest_api_port", "model_config_file", "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models", "monitoring_config_file", "enable_batching",
    "batching_parameters_file", "enable_model_warmup", "ssl_config_file",
    "tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism",
}  # fmt: skip
# Messages that the package lacks: config/ssl_config.proto, config/monitoring_config.proto,
# servables/tensorflow/session_bundle_config.proto. The text format knows names only, so the numbers
# are our own.
WRAPPED_INT, WRAPPED_BOOL, WRAPPED_TEXT = "Int64Value", "BoolValue", "StringValue"
MESSAGES = {
    "SSLConfig": {
        "server_key": "string", "server_cert": "string", "custom_ca": "string",
        "client_verify": "bool",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": ".PrometheusConfig"},
    "BatchingParameters": {
        "max_batch_size": WRAPPED_INT, "batch_timeout_micros": WRAPPED_INT,
        "max_enqueued_batches": WRAPPED_INT, "num_batch_threads": WRAPPED_INT,
        "thread_pool_name": WRAPPED_TEXT, "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool", "enable_large_batch_splitting": WRAPPED_BOOL,
        "max_execution_batch_size": WRAPPED_INT,
    },
}  # fmt: skip


def declared(name):
    """The message class `name` of MESSAGES, in a pool of its own."""
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kinds.TYPE_STRING, "bool": kinds.TYPE_BOOL, "int64": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name="serving_config.proto", package="declared", syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message_name, fields in MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, kind) in enumerate(fields.items(), 1):
            repeated, _, kind = kind.rpartition(" ")
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if kind in scalars:
                field.type = scalars[kind]
            else:
                field.type = kinds.TYPE_MESSAGE
                package = ".declared" if kind[0] == "." else ".google.protobuf."
                field.type_name = package + kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"declared.{name}"))


def parsed(file_name, message):
    return text_format.Parse((CONFIG / file_name).read_text(encoding="utf-8"), message)


def commands():
    return [
        *(pytest.param(service.values[0]["command"], id=service.id) for service in services()),
        pytest.param(container()["args"], id="kubernetes"),
    ]


# --- what TensorFlow Serving reads ------------------------------------------------------------


def test_the_models():
    config = parsed("models.config", model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == contract.MODEL_NAME
    assert model.base_path == f"/models/{contract.MODEL_NAME}"
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert model.model_version_policy.latest.num_versions == 2
    assert set(model.version_labels) == {"stable", "canary"}
    # Both work from the first export on.
    assert set(model.version_labels.values()) == {1}


def test_the_embedded_server_reads_the_models_too():
    reader = pytest.importorskip(
        "serving.embedded.model_config", reason="needs the embedded server"
    )
    (model,) = reader.read_config(CONFIG / "models.config")
    assert model.name == contract.MODEL_NAME
    assert model.latest == 2
    assert model.labels == {"stable": 1, "canary": 1}


@pytest.mark.parametrize("name", ["batching_parameters.txt", "batching_parameters_gpu.txt"])
def test_batches_never_merge_requests(name):
    batching = parsed(name, declared("BatchingParameters")())
    assert batching.max_execution_batch_size.value == 1
    assert batching.enable_large_batch_splitting.value  # or a request of two images is refused
    assert batching.max_batch_size.value > 1
    assert not batching.pad_variable_length_inputs
    assert batching.num_batch_threads.value >= 1
    assert batching.max_enqueued_batches.value >= 1
    assert not batching.allowed_batch_sizes


def test_the_metrics_are_where_the_contract_says():
    monitoring = parsed("monitoring.config", declared("MonitoringConfig")())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == contract.METRICS_PATH
    (job,) = yaml.safe_load((CONFIG / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == contract.METRICS_PATH
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{HTTP_PORT}"]}]


def test_the_tls_example_holds_no_key_and_asks_for_certificates():
    tls = parsed("ssl.config", declared("SSLConfig")())
    for text in (tls.server_key, tls.server_cert, tls.custom_ca):
        assert "\nREPLACE\n" in text
        assert text.startswith("-----BEGIN ") and text.endswith("-----\n")
    assert tls.client_verify


def test_the_openssl_commands_make_a_chain_that_verifies(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    text = (CONFIG / "ssl.config").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n#\s*", "", text).splitlines()
    made = [line.lstrip("# ") for line in lines if re.match(r"#\s+openssl ", line)]
    assert len(made) == 4
    for command in made:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    verify = ["openssl", "verify", "-CAfile"]
    for authority, certificate in [("ca.crt", "client.crt"), ("server.crt", "server.crt")]:
        subprocess.run([*verify, authority, certificate], cwd=tmp_path, check=True)
    # And the line that turns PEM into one line of the file.
    awk = re.search(r"awk '.*?' server\.key", text)[0]
    line = subprocess.run(
        ["bash", "-c", awk], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    tls = text_format.Parse(f'server_key: "{line}"', declared("SSLConfig")())
    assert tls.server_key == (tmp_path / "server.key").read_text()


# --- compose and Kubernetes --------------------------------------------------------------------


@pytest.mark.parametrize("command", commands())
def test_flags_exist_and_the_files_they_name_too(command):
    given = flags(command)
    assert set(given) <= FLAGS
    assert given["port"] == str(GRPC_PORT)
    assert given["rest_api_port"] == str(HTTP_PORT)
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    for name in ("model_config_file", "monitoring_config_file", "batching_parameters_file"):
        folder, _, file_name = given[name].rpartition("/")
        assert folder == "/config"
        assert (CONFIG / file_name).is_file()


@pytest.mark.parametrize("service", services())
def test_compose_is_locked_down(service):
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    ports = {int(port.rpartition(":")[2]) for port in service["ports"]}
    assert ports == {GRPC_PORT, HTTP_PORT}
    assert "0" not in service["user"].split(":")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume["read_only"] is True for volume in service["volumes"])
    assert {volume["target"] for volume in service["volumes"]} == {"/models", "/config"}
    assert service["mem_limit"] and service["restart"] == "unless-stopped"
    assert service["environment"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert "privileged" not in service and "network_mode" not in service


def test_images_are_pinned_and_the_same_everywhere():
    images = {name: service["image"] for name, service in compose()["services"].items()}
    pinned = re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", images["serving"])
    assert pinned
    assert images["serving-gpu"] == images["serving"] + "-gpu"
    assert container()["image"] == images["serving"]
    assert images["serving-gpu"] in (CONFIG / "kubernetes.yaml").read_text()


def test_each_variant_has_a_profile_of_its_own():
    profiles = {name: service["profiles"] for name, service in compose()["services"].items()}
    assert profiles == {"serving": ["cpu"], "serving-gpu": ["gpu"]}
    gpu = compose()["services"]["serving-gpu"]
    assert flags(gpu["command"])["batching_parameters_file"].endswith("_gpu.txt")
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"


def answering(status_line, body):
    """A port where one request gets this answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def answer():
        with listener, listener.accept()[0] as connection:
            request = b""
            while not request.endswith(b"\r\n\r\n"):  # bash sends line by line
                request += connection.recv(4096)
            if not request.startswith(
                f"GET /v1/models/{contract.MODEL_NAME} HTTP/1.1\r\n".encode()
            ):
                return
            connection.sendall(f"{status_line}\r\nConnection: close\r\n\r\n{body}".encode())

    threading.Thread(target=answer, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("status_line", "body", "healthy"),
    [
        ("HTTP/1.1 200 OK", '{"model_version_status": [{"state": "AVAILABLE"}]}', True),
        ("HTTP/1.1 200 OK", '{"model_version_status": [{"state": "LOADING"}]}', False),
        ("HTTP/1.1 404 Not Found", '{"error": "Could not find any versions"}', False),
        ("HTTP/1.1 503 UNAVAILABLE", "", False),
    ],
)
def test_the_health_check_tells(status_line, body, healthy):
    kind, *command = compose()["services"]["serving"]["healthcheck"]["test"]
    assert kind == "CMD"
    if shutil.which(command[0]) is None:
        pytest.skip("needs bash, as the image has it")
    assert f"/127.0.0.1/{HTTP_PORT}" in command[-1]
    port = answering(status_line, body)
    command[-1] = command[-1].replace(f"/{HTTP_PORT}", f"/{port}")
    assert (subprocess.run(command, timeout=20).returncode == 0) is healthy


def test_the_health_check_fails_without_a_server():
    command = compose()["services"]["serving"]["healthcheck"]["test"][1:]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command[-1] = command[-1].replace(f"/{HTTP_PORT}", f"/{port}")
    assert subprocess.run(command, timeout=20, stderr=subprocess.DEVNULL).returncode != 0

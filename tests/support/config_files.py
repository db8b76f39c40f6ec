"""The files of serving/config as YAML has them."""

import re
from pathlib import Path

import pytest
import yaml

from serving import contract

CONFIG = Path(contract.__file__).with_name("config")
HTTP_PORT = contract.DEFAULT_HTTP_PORT
GRPC_PORT = int(contract.DEFAULT_ADDRESS.rpartition(":")[2])


def compose():
    return yaml.safe_load((CONFIG / "compose.yaml").read_text(encoding="utf-8"))


def kubernetes():
    text = (CONFIG / "kubernetes.yaml").read_text(encoding="utf-8")
    return {resource["kind"]: resource for resource in yaml.safe_load_all(text)}


def services():
    return [pytest.param(service, id=name) for name, service in compose()["services"].items()]


def container():
    (only,) = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


def flags(arguments):
    pairs = [re.fullmatch(r"--(\w+)=(\S+)", argument) for argument in arguments]
    assert all(pairs), arguments
    return {pair[1]: pair[2] for pair in pairs}

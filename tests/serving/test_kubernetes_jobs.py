"""The Jobs in serving/config that write a data set and train: schemas, and what their pods run."""

import json
import os
import subprocess

import pytest

pytest.importorskip("yaml")

import yaml

from dmenet_tf import cli
from tests.support.config_files import CONFIG

FILES = ("kubernetes-training.yaml", "kubernetes-dataset.yaml")


def resources(name: str) -> dict:
    text = (CONFIG / name).read_text(encoding="utf-8")
    return {resource["kind"]: resource for resource in yaml.safe_load_all(text)}


def pod(name: str) -> dict:
    return resources(name)["Job"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", FILES)
def test_they_follow_the_official_schemas(name):
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for resource in resources(name).values():
        validate.validate(resource, "1.32", strict=True)


@pytest.mark.parametrize("name", FILES)
def test_pods_are_locked_down_and_mount_what_there_is(name):
    spec = pod(name)
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_every_worker_has_a_name_and_the_service_leads_to_it():
    found = resources(FILES[0])
    job, service, policy = (found[kind] for kind in ("Job", "Service", "NetworkPolicy"))
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels and service["spec"]["clusterIP"] == "None"
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert pod(FILES[0])["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = pod(FILES[0])["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    workers = int(environment["WORKERS"])
    assert workers == job["spec"]["completions"] == job["spec"]["parallelism"] > 1


@pytest.mark.parametrize("resumed", [False, True])
def test_a_pod_starts_its_worker(tmp_path, resumed):
    """Its script, with a `dmenet` that says what it was given."""
    from dmenet_tf.training.distribution import this_worker

    (container,) = pod(FILES[0])["containers"]
    program, runs = tmp_path / "dmenet", tmp_path / "runs"
    program.write_text('#!/bin/bash\necho "$TF_CONFIG"\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    (runs / "paper").mkdir(parents=True)
    if resumed:
        (runs / "paper" / "config.json").touch()
    (script,) = container["args"]
    done = subprocess.run(
        [*container["command"], script.replace("/runs/", f"{runs}/")],
        env=os.environ
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "1", "WORKERS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    cluster, *words = done.stdout.splitlines()
    assert this_worker("multi-worker", {"TF_CONFIG": cluster}) == (1, 3)
    addresses = json.loads(cluster)["cluster"]["worker"]
    name, port = resources(FILES[0])["Service"]["metadata"]["name"], 2222
    assert addresses == [f"dmenet-train-{i}.{name}:{port}" for i in range(3)]
    assert words[0] == "train" and ("--resume" in words) == resumed
    cli.build_parser(with_options=True).parse_args(words)
    if not resumed:
        assert words[words.index("--strategy") + 1] == "multi-worker"


def test_the_options_of_the_data_set_exist():
    from data_gen import __main__ as synthesize
    from data_gen import command_line

    (container,) = pod(FILES[1])["containers"]
    assert container["command"] == ["python", "-m", "data_gen.beam"]
    options, of_beam = command_line.parse(
        synthesize.Options, container["args"], "beam", "", pass_on=True
    )
    assert {word.partition("=")[0] for word in of_beam} == {
        "--runner", "--direct_num_workers", "--direct_running_mode",
    }  # fmt: skip
    # Where the training reads it.
    (training,) = pod(FILES[0])["containers"]
    assert f"--synthetic {options.out} " in training["args"][0]

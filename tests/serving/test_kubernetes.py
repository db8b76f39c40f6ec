"""serving/config/kubernetes.yaml: locked down, of one piece, and by the official schemas."""

import pytest

pytest.importorskip("yaml")

from serving import contract
from tests.support.config_files import GRPC_PORT, HTTP_PORT, container, kubernetes


def test_kubernetes_is_locked_down_and_probes_the_model():
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    context = container()["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"grpc": GRPC_PORT, "http": HTTP_PORT}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container()[probe]["httpGet"]
        assert get == {"path": f"/v1/models/{contract.MODEL_NAME}", "port": "http"}
    assert {"requests", "limits"} <= set(container()["resources"])
    (models,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert models["persistentVolumeClaim"]["readOnly"] is True


def test_kubernetes_resources_point_at_each_other():
    resources = kubernetes()
    assert set(resources) == {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
    }  # fmt: skip
    deployment = resources["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert resources["Service"]["spec"]["selector"] == labels
    assert resources["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert resources["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    scaler = resources["HorizontalPodAutoscaler"]
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    # The autoscaler's share is of what is requested, and sets the number of pods alone.
    assert "cpu" in container()["resources"]["requests"]
    assert "replicas" not in deployment["spec"]
    mounted = {mount["name"] for mount in container()["volumeMounts"]}
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert mounted == {volume["name"] for volume in volumes}


def test_kubernetes_follows_the_official_schemas():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for resource in kubernetes().values():
        validate.validate(resource, "1.32", strict=True)

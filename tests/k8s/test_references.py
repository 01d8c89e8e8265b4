"""What one object says of another is true: selectors, ports, names, volumes."""

from __future__ import annotations

import re

import pytest


def matches(selector: dict, labels: dict) -> bool:
    return selector.items() <= labels.items()


def test_services_select_the_pods_and_name_their_ports(deployed):
    ports = {port["name"] for port in deployed.triton["ports"]}
    for service in deployed.of("Service"):
        assert matches(service["spec"]["selector"], deployed.pod["metadata"]["labels"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert deployed.one("Service", "emoserve-pods")["spec"]["clusterIP"] == "None"


def test_selectors_of_the_deployment_budget_policies_and_monitor(deployed):
    labels = deployed.pod["metadata"]["labels"]
    deployment = deployed.one("Deployment")["spec"]
    assert matches(deployment["selector"]["matchLabels"], labels)
    for constraint in deployed.pod["spec"]["topologySpreadConstraints"]:
        assert matches(constraint["labelSelector"]["matchLabels"], labels)
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        for item in deployed.of(kind):
            assert matches(item["spec"]["selector"]["matchLabels"], labels)
    for policy in deployed.of("NetworkPolicy"):
        assert matches(policy["spec"]["podSelector"]["matchLabels"], labels)


def test_ports_of_policies_probes_and_monitor_exist(deployed):
    ports = {port["name"] for port in deployed.triton["ports"]}
    policy = deployed.one("NetworkPolicy")["spec"]
    allowed = [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    assert set(allowed) <= ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert deployed.triton[probe]["httpGet"]["port"] in ports
    for monitor in deployed.of("PodMonitor"):
        assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} == {"metrics"}
    flags = deployed.flags
    for name, port, default in (
        ("http", 8000, 8000),
        ("grpc", 8001, 8001),
        ("metrics", 8002, 8002),
    ):
        assert int(flags.get(f"--{name}-port", default)) == port
        assert {"name": name, "containerPort": port} in deployed.triton["ports"]


def test_one_autoscaler_and_it_scales_the_deployment(deployed):
    scalers = [*deployed.of("HorizontalPodAutoscaler"), *deployed.of("ScaledObject")]
    if deployed.name == "local":
        assert not scalers
        return
    (scaler,) = scalers
    assert deployed.has("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    # The autoscaler owns the number: applying the manifest again must not reset it.
    assert "replicas" not in deployed.one("Deployment")["spec"]


def test_names_that_the_pod_mentions_exist(deployed):
    spec = deployed.pod["spec"]
    assert deployed.has("ServiceAccount", spec["serviceAccountName"])
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    for container in containers:
        for source in container.get("envFrom", []):
            assert deployed.has("ConfigMap", source["configMapRef"]["name"])
    for volume in spec["volumes"]:
        if "configMap" in volume:
            assert deployed.has("ConfigMap", volume["configMap"]["name"])
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            assert deployed.has("PersistentVolumeClaim", claim)
        if "secret" in volume and not volume["secret"].get("optional"):
            secrets = [item["spec"]["secretName"] for item in deployed.of("Certificate")]
            assert volume["secret"]["secretName"] in secrets


def test_every_volume_is_mounted_and_every_mount_has_its_volume(deployed):
    spec = deployed.pod["spec"]
    volumes = [volume["name"] for volume in spec["volumes"]]
    assert len(set(volumes)) == len(volumes)
    mounted = {
        mount["name"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for mount in container["volumeMounts"]
    }
    assert mounted == set(volumes)


def test_variables_in_the_arguments_are_defined(deployed):
    used = set(re.findall(r"\$\((\w+)\)", " ".join(deployed.triton["args"])))
    assert used == {variable["name"] for variable in deployed.triton["env"]} & used


def test_routes_lead_to_services_through_the_gateway(deployed):
    services = {
        (item["metadata"]["name"], port["port"])
        for item in deployed.of("Service")
        for port in item["spec"]["ports"]
    }
    for route in [*deployed.of("GRPCRoute"), *deployed.of("HTTPRoute")]:
        for parent in route["spec"]["parentRefs"]:
            gateway = deployed.one("Gateway", parent["name"])
            names = {listener["name"] for listener in gateway["spec"]["listeners"]}
            assert parent["sectionName"] in names
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert (backend["name"], backend["port"]) in services


def test_everything_is_in_the_namespace_and_queries_name_it(rendered):
    for item in rendered.all:
        if item["kind"] not in ("Namespace", "PersistentVolume"):
            assert item["metadata"]["namespace"] == "emoserve"
    for scaled in rendered.of("ScaledObject"):
        queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
        assert 'namespace="emoserve"' in queries[0]


@pytest.mark.parametrize("name", ["cpu", "gpu", "gpu-tensorrt"])
def test_what_each_overlay_consists_of(objects, name):
    kinds = [item["kind"] for item in objects(name).all]
    assert sorted(set(kinds)) == sorted(
        {
            "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Namespace", "NetworkPolicy",
            "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "Service", "ServiceAccount",
        }
        | ({"PersistentVolumeClaim"} if name == "gpu-tensorrt" else set())
    )  # fmt: skip

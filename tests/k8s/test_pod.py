"""The pod: closed, sized, and drained before it goes."""

from __future__ import annotations

import re

import pytest

from emoserve_server.scaling import read_configs, shared_memory_bytes

UNITS = {"": 1, "Mi": 2**20, "Gi": 2**30}
MEASURED = 4012 * 2**20  # private memory of all processes under a mix with clips
UNLOADING_S = 20  # measured: 15 models with 20 Python processes took 5 s on a busy machine


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()
    return int(number) * UNITS[unit]


def emptydir(pod: dict, name: str) -> dict:
    return next(volume["emptyDir"] for volume in pod["spec"]["volumes"] if volume["name"] == name)


def test_the_drain_fits_into_the_grace_period(deployed):
    """preStop, then Triton waits for requests in flight, then unloads: the kubelet counts all."""
    command = deployed.triton["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "/bin/sleep"  # not a shell that swallows the argument
    prestop_s, exit_s = int(command[1]), int(deployed.flags["--exit-timeout-secs"])
    grace_s = deployed.pod["spec"]["terminationGracePeriodSeconds"]
    assert prestop_s + exit_s + UNLOADING_S <= grace_s
    # Two failed readiness probes or an endpoint update that is slow to spread: both end sooner.
    readiness = deployed.triton["readinessProbe"]
    assert prestop_s >= readiness["periodSeconds"] * readiness["failureThreshold"]
    # A gRPC connection that has reached its age lets its calls finish first.
    assert int(deployed.flags["--grpc-max-connection-age"]) >= 60_000
    assert int(deployed.flags["--grpc-max-connection-age-grace"]) >= exit_s * 1000


def test_probes_leave_time_to_load_and_to_answer(deployed):
    triton = deployed.triton
    startup = triton["startupProbe"]
    assert startup["httpGet"]["path"] == "/v2/models/video/ready"
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert triton["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert deployed.flags["--strict-readiness"] == "true"
    assert triton["readinessProbe"]["timeoutSeconds"] > 5  # a model's own is_ready may take 5 s
    assert triton["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    liveness_s = (
        triton["livenessProbe"]["periodSeconds"] * triton["livenessProbe"]["failureThreshold"]
    )
    assert liveness_s >= 60


def test_shared_memory_is_what_the_configs_need(deployed, root):
    largest = int(deployed.flags["--http-max-input-size"])
    needed = shared_memory_bytes(read_configs(root / "model_repository"), largest)
    shm = emptydir(deployed.pod, "shm")
    assert shm["medium"] == "Memory"
    assert needed <= size(shm["sizeLimit"]) < 2 * needed
    limit = size(deployed.triton["resources"]["limits"]["memory"])
    assert limit >= size(shm["sizeLimit"]) + MEASURED  # what it holds counts towards the limit
    assert {"name": "shm", "mountPath": "/dev/shm"} in deployed.triton["volumeMounts"]


def test_shared_memory_of_a_crashed_triton_is_removed(deployed):
    """An emptyDir outlives the container; and `exec` gives SIGTERM to Triton."""
    assert deployed.triton["command"][:2] == ["/bin/sh", "-c"]
    assert deployed.triton["command"][2] == 'rm -rf /dev/shm/* && exec tritonserver "$@"'


def test_nothing_in_the_pod_has_more_rights_than_it_needs(deployed):
    spec = deployed.pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert (
            container["resources"]["limits"]["memory"]
            == container["resources"]["requests"]["memory"]
        )
    assert not any("hostPath" in volume for volume in spec["volumes"])
    if deployed.has("Namespace", "emoserve"):
        labels = deployed.one("Namespace")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_flags_of_the_secure_deployment_guide(deployed):
    flags = deployed.flags
    assert flags["--model-control-mode"] == "none"
    assert flags["--exit-on-error"] == "true"
    assert "--disable-auto-complete-config" in flags
    for closed in ("--allow-sagemaker", "--allow-vertex-ai", "--allow-client-shm"):
        assert flags[closed] == "false"
    assert 0 < int(flags["--grpc-max-response-pool-size"]) <= 1024
    for restricted in ("--http-restricted-api", "--grpc-restricted-protocol"):
        assert flags[restricted] == "shared-memory,trace,logging:closed=$(POD_UID)"


def test_images_are_pinned_and_triton_is_new_enough(deployed, root):
    spec = deployed.pod["spec"]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert re.search(r":[\w.-]+$", container["image"])
        assert not container["image"].endswith(":latest")
        release = re.search(r"nvcr\.io/.*:(\d\d\.\d\d)-py3$", container["image"])
        if release:
            assert release[1] >= "26.07"
    dockerfile = (root / "server/Dockerfile").read_text()
    assert re.search(r"^ARG TRITON=(\d\d\.\d\d)$", dockerfile, re.MULTILINE)[1] >= "26.07"


def test_the_network_is_closed_but_for_callers_and_prometheus(deployed):
    policy = deployed.one("NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    for rule in policy["ingress"]:
        assert rule["from"]
        if {"port": "metrics"} in rule["ports"]:
            (source,) = rule["from"]
            assert source["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
            assert "namespaceSelector" in source
    opened = {item["metadata"]["name"] for item in deployed.of("NetworkPolicy")} - {"emoserve"}
    if deployed.name != "cpu-keda-gateway":
        assert not opened


def test_a_rollout_never_takes_a_pod_before_its_successor_answers(deployed):
    rolling = deployed.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0
    budget = deployed.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("name", ["gpu", "gpu-tensorrt", "gpu-mig", "gpu-shared"])
def test_each_gpu_overlay_asks_for_one_kind_of_gpu(objects, name):
    limits = objects(name).triton["resources"]["limits"]
    (kind,) = (resource for resource in limits if resource.startswith("nvidia.com/"))
    assert limits[kind] == "1"
    assert kind == {
        "gpu-mig": "nvidia.com/mig-1g.10gb",
        "gpu-shared": "nvidia.com/gpu.shared",
    }.get(name, "nvidia.com/gpu")

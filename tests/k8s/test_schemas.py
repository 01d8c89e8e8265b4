"""Every object against the strict schema of every Kubernetes that is supported."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest

BUILT_IN = {"v1", "apps/v1", "autoscaling/v2", "batch/v1", "networking.k8s.io/v1", "policy/v1"}
CUSTOM = {
    "cert-manager.io/v1",
    "gateway.networking.k8s.io/v1",
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1",
    "serving.kserve.io/v1alpha1",
    "serving.kserve.io/v1beta1",
}
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])
VERSIONS = [f"1.{minor}" for minor in range(29, NEWEST + 1)]
# Image volumes came with 1.31.
FIRST = {"gpu-mig": 31}


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_follow_the_schema(rendered, version):
    if int(version.split(".")[1]) < FIRST.get(rendered.name, 29):
        pytest.skip(f"{rendered.name} needs Kubernetes 1.{FIRST[rendered.name]}")
    for item in rendered.all:
        if item["apiVersion"] in BUILT_IN:
            kubernetes_validate.validate(item, version, strict=True)
        else:
            assert item["apiVersion"] in CUSTOM


def test_the_check_itself_refuses_what_no_schema_has(objects):
    deployment = objects("cpu").one("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, "1.29", strict=True)


@pytest.fixture(scope="session")
def validator(tmp_path_factory) -> Path:
    """The published schemas of the custom resources, from their npm packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("schemas")
    for source in (Path(__file__).parent / "schemas").iterdir():
        shutil.copy(source, folder)
    ran = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        pytest.skip(f"the schemas' npm packages cannot be had: {ran.stderr.strip()[-200:]}")
    return folder / "validate.mjs"


def _validate(validator: Path, items: list[dict]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", validator], input=json.dumps(items), capture_output=True, text=True, check=False
    )


def test_custom_resources_follow_their_published_schemas(rendered, validator):
    published = [item for item in rendered.all if item["apiVersion"] in CUSTOM]
    published = [item for item in published if "kserve" not in item["apiVersion"]]
    ran = _validate(validator, published)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.strip() == f"{len(published)} valid"


def test_that_check_too_refuses_what_is_wrong(objects, validator):
    monitor = objects("cpu").one("PodMonitor")
    monitor["spec"]["podMetricsEndpoints"][0]["interval"] = 15
    ran = _validate(validator, [monitor])
    assert ran.returncode == 1
    assert "interval must be string" in ran.stdout

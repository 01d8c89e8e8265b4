"""The engines' init containers: their very commands, as far as they go without a GPU."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


@pytest.fixture
def inits(objects):
    """The init containers by name."""
    spec = objects("gpu-tensorrt").pod["spec"]
    assert [one["name"] for one in spec["initContainers"]] == ["copy-models", "build-engines"]
    return {one["name"]: one for one in spec["initContainers"]}


def mounts(container: dict) -> dict[str, dict]:
    return {one["name"]: one for one in container["volumeMounts"]}


def test_models_are_copied_built_and_served_in_one_volume(inits, objects):
    copy, build = inits["copy-models"]["command"], inits["build-engines"]["command"]
    assert copy[-1] == build[-1] == "/building/models"
    # The export works beside the repository, in the same file system: not on a mount of its own.
    for container in inits.values():
        assert mounts(container)["models"] == {"name": "models", "mountPath": "/building"}
    served = mounts(objects("gpu-tensorrt").triton)["models"]
    assert (served["mountPath"], served["subPath"], served["readOnly"]) == (
        "/models",
        "models",
        True,
    )


def test_engines_are_cached_and_built_where_they_run(inits, objects):
    build = inits["build-engines"]
    environment = {one["name"]: one["value"] for one in build["env"]}
    assert environment["EMOSERVE_CACHE"] == mounts(build)["engines"]["mountPath"]
    limits = objects("gpu-tensorrt").triton["resources"]["limits"]
    assert build["resources"]["limits"]["nvidia.com/gpu"] == limits["nvidia.com/gpu"]


def test_the_image_has_the_tensorrt_of_its_triton(root):
    dockerfile = (root / "server/Dockerfile").read_text()
    for image in ("tensorrt", "tritonserver"):
        assert re.search(rf"^FROM nvcr\.io/nvidia/{image}:\$\{{TRITON\}}-py3 ", dockerfile, re.M)


def test_without_tensorrt_the_pod_does_not_start_and_nothing_has_changed(
    inits, repository, tmp_path
):
    """The commands of both containers; PyTorch, which the image lacks, is kept from it here too."""
    work = tmp_path / "models"
    here = {"/models": str(repository), "/building/models": str(work)}
    copy, export = (
        [here.get(word, word) for word in inits[name]["command"]]
        for name in ("copy-models", "build-engines")
    )
    subprocess.run(copy, check=True)
    before = (work / "manifest.json").read_bytes()
    assert export[:2] == ["emoserve", "export"]
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'onnx', 'onnxruntime', 'tensorrt')))\n"
        "from emoserve_export.cli import main\n"
        f"sys.exit(main({export[2:]!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "TensorRT is not here" in ran.stderr
    assert (work / "manifest.json").read_bytes() == before

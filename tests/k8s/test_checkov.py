"""checkov finds nothing; its exceptions stand in the manifest with their reason."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

EXCEPTIONS = {"CKV_K8S_43", "CKV_K8S_15"}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("checkov"), reason="needs checkov (pipx install checkov)")
def test_checkov(root):
    command = ["checkov", "--directory", root / "k8s/rendered", "--framework", "kubernetes"]
    ran = subprocess.run(
        [*command, "--skip-download", "--quiet", "--output", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(ran.stdout)
    assert report["summary"]["passed"] > 500
    assert report["summary"]["failed"] == 0, report["results"]["failed_checks"]


def test_exceptions_say_why(rendered):
    workloads = [*rendered.of("Deployment"), *rendered.of("Job")]
    for workload in workloads:
        annotations = workload["metadata"]["annotations"]
        skips = [value for key, value in annotations.items() if key.startswith("checkov.io/skip")]
        assert {skip.split("=", 1)[0] for skip in skips} == EXCEPTIONS
        assert all(len(skip.split("=", 1)[1]) > 30 for skip in skips)

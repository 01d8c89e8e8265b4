"""Cluster time and real time: all periods of the manifests pass `FACTOR` times as fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FACTOR = 10.0
CORES = 0.25  # of each pod: small, so that several fit on a laptop
ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "k8s" / "rendered" / "cpu.yaml"
# Its requests are all about as long, so that few of them say how busy a pod is.
PIPELINE, NETWORK = "text", "text_net"


def manifests() -> list[dict[str, Any]]:
    """Return the objects of the overlay `cpu`, as they would be applied."""
    return [item for item in yaml.safe_load_all(MANIFESTS.read_text()) if item]


def manifest(kind: str, name: str = "emoserve") -> dict[str, Any]:
    """Return one object's `spec`."""
    (found,) = (
        item for item in manifests() if item["kind"] == kind and item["metadata"]["name"] == name
    )
    spec: dict[str, Any] = found["spec"]
    return spec

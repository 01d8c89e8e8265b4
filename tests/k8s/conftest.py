"""The rendered manifests, as objects. `k8s/rendered/` is committed; test_render holds it fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RENDERED = ROOT / "k8s" / "rendered"
NAMES = sorted(path.stem for path in RENDERED.glob("*.yaml"))
# Those with an indexed Job, and those that deploy the base; KServe makes its own objects.
BATCHES = [name for name in NAMES if name.startswith("batch")]
DEPLOYING = [name for name in NAMES if name not in (*BATCHES, "kserve")]


class Objects:
    """The objects of one rendered file."""

    def __init__(self, name: str) -> None:
        self.name = name
        text = (RENDERED / f"{name}.yaml").read_text()
        self.all: list[dict[str, Any]] = [item for item in yaml.safe_load_all(text) if item]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.all if item["kind"] == kind]

    def one(self, kind: str, name: str = "emoserve") -> dict[str, Any]:
        (found,) = (item for item in self.of(kind) if item["metadata"]["name"] == name)
        return found

    def has(self, kind: str, name: str) -> bool:
        return any(item["metadata"]["name"] == name for item in self.of(kind))

    @property
    def pod(self) -> dict[str, Any]:
        """The Deployment's pod template."""
        return self.one("Deployment")["spec"]["template"]

    @property
    def triton(self) -> dict[str, Any]:
        """The container that serves."""
        (found,) = (c for c in self.pod["spec"]["containers"] if c["name"] == "triton")
        return found

    @property
    def flags(self) -> dict[str, str]:
        """Triton's flags; of one that is given several times, the last."""
        pairs = (argument.partition("=") for argument in self.triton["args"])
        return {name: value for name, _, value in pairs}


@pytest.fixture(params=NAMES)
def rendered(request: pytest.FixtureRequest) -> Objects:
    """Every rendered file."""
    return Objects(request.param)


@pytest.fixture(params=DEPLOYING)
def deployed(request: pytest.FixtureRequest) -> Objects:
    """Every rendered file with a Deployment."""
    return Objects(request.param)


@pytest.fixture(params=BATCHES)
def batch(request: pytest.FixtureRequest) -> Objects:
    """Every rendered file with an indexed Job."""
    return Objects(request.param)


@pytest.fixture(scope="session")
def objects() -> type[Objects]:
    return Objects


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT

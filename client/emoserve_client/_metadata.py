"""What a server says about itself and its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoserve_client._results import Result


@dataclass(frozen=True)
class ServerInfo(Result):
    """The server's name, version and protocol extensions."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class TensorSpec(Result):
    """One input or output of a model; -1 in `shape` is any size, its first axis the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        axes = ", ".join("any" if size < 0 else str(size) for size in self.shape)
        return f"{self.name} {self.datatype} [{axes}]"


@dataclass(frozen=True)
class ModelInfo(Result):
    """A model's versions, platform, inputs and outputs."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class ModelState(Result):
    """One version of a model in the repository; `state` is `READY`, `UNAVAILABLE`, ..."""

    name: str
    version: str
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        return self.state == "READY"


@dataclass(frozen=True)
class Duration(Result):
    """How often something happened, and how long that took in all."""

    count: int
    total_ns: int

    @property
    def mean_ms(self) -> float:
        """Milliseconds each, 0 when it never happened."""
        return self.total_ns / self.count / 1e6 if self.count else 0.0


DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class ModelStatistics(Result):
    """What one version of a model has done since the server started."""

    name: str
    version: str
    inference_count: int
    execution_count: int
    durations: Mapping[str, Duration]

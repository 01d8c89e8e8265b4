"""Service-level objectives in a small file, and whether a run held them.

[total]
p95_ms = 300          also p50, p90, p99, p999 and mean_ms, max_ms
error_ratio = 0.01    at most
throughput = 40       answers per second, at least

[face]                any pipeline, or a modality of `emotion` such as ["speech+text"]
p99_ms = 250
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoserve_loadtests.quantiles import PERCENTILES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEYS = (*(f"{name}_ms" for name in PERCENTILES), "mean_ms", "max_ms", "error_ratio", "throughput")


@dataclass(frozen=True)
class Gate:
    """One objective: the figure `key` of a group of requests."""

    group: str
    key: str
    bound: float

    def held(self, value: float | None) -> bool:
        """Return whether the figure keeps it; no figure does not."""
        if value is None:
            return False
        return value >= self.bound if self.key == "throughput" else value <= self.bound


def read_gates(path: Path) -> tuple[Gate, ...]:
    """Return the objectives of a file.

    Raises:
        ValueError: it is no TOML, or has something unknown in it; the message names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    gates = []
    for group, bounds in content.items():
        if not isinstance(bounds, dict):
            raise ValueError(f"{path}: '{group}' must stand in a table, such as [total]")
        for key, bound in bounds.items():
            if key not in KEYS:
                raise ValueError(f"{path}: [{group}] has '{key}'; known are: {', '.join(KEYS)}")
            gates.append(Gate(group, key, float(bound)))
    if not gates:
        raise ValueError(f"{path} holds no objective; write for instance [total] p95_ms = 300")
    return tuple(gates)


def check(gates: tuple[Gate, ...], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each objective with the run's figure and whether it held."""
    groups = {"total": found["total"], **found["modalities"], **found["pipelines"]}
    told = []
    for gate in gates:
        value = _figure(groups.get(gate.group), gate.key)
        told.append(
            {
                "group": gate.group,
                "objective": gate.key,
                "bound": gate.bound,
                "value": value,
                "held": gate.held(value),
            }
        )
    return told


def _figure(group: Mapping[str, Any] | None, key: str) -> float | None:
    if group is None or not group["requests"]:
        return None
    if key == "throughput":
        return float(group["throughput_per_s"])
    percentiles = group["latency_ms"]
    value = group[key] if key in group else percentiles[key.removesuffix("_ms")]["value"]
    return None if value is None else float(value)

"""The generated `config.pbtxt` files, read with Triton's own schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from emoserve_server._repository import model_names


def read_configs(repository: Path) -> dict[str, Any]:
    """Return each model's `ModelConfig` by name.

    Raises:
        RepositoryError: there is no repository, or no model in it.
        ValueError: a config does not follow Triton's schema; the message names it.
    """
    configs = {}
    for name in model_names(repository):
        path = repository / name / "config.pbtxt"
        try:
            parsed = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        except text_format.ParseError as error:
            raise ValueError(f"{path}: {error}") from error
        configs[name] = parsed
    return configs


def steps_of(config: Any) -> tuple[str, ...]:
    """Return the models of an ensemble, () for any other model."""
    return tuple(step.model_name for step in config.ensemble_scheduling.step)


def instances_of(config: Any) -> int:
    """Return how many batches of a model run at once where there is one device.

    An instance of a step may have several portions in hand (parameter `concurrency`).
    """
    instances = sum(group.count or 1 for group in config.instance_group) or 1
    return instances * int(config.parameters["concurrency"].string_value or 1)


def delay_s(config: Any) -> float:
    """Return how long the dynamic batcher may hold a request, in seconds."""
    return float(config.dynamic_batching.max_queue_delay_microseconds) / 1e6

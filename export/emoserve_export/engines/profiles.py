"""Optimisation profiles: the range of shapes an engine is built for, from config and golden."""

from collections.abc import Mapping
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export.errors import DeclarationError

Shape = tuple[int, ...]
Bounds = Mapping[str, Mapping[int, tuple[int, int]]]
OPTIMAL_BATCH = 8


@dataclass(frozen=True)
class Profile:
    """Least, most frequent and largest shape of each input."""

    inputs: Mapping[str, tuple[Shape, Shape, Shape]]

    def key(self) -> str:
        """Return a text that is equal for equal profiles."""
        return repr(sorted(self.inputs.items()))


def profile_of(config: pb.ModelConfig, bounds: Bounds) -> Profile:
    """Return the profile for a config's batch range.

    Args:
        bounds: input -> dimension in `dims` (without the batch) -> lowest and highest size.

    Raises:
        DeclarationError: a free dimension has no bounds.
    """
    return Profile({tensor.name: _shapes(config, tensor, bounds) for tensor in config.input})


def _shapes(
    config: pb.ModelConfig,
    tensor: pb.ModelInput,
    bounds: Bounds,
) -> tuple[Shape, Shape, Shape]:
    ranges: list[tuple[int, int, int]] = []
    if config.max_batch_size:
        most = config.max_batch_size
        ranges.append((1, min(OPTIMAL_BATCH, most), most))
    for index, size in enumerate(tensor.dims):
        if size >= 0:
            ranges.append((size, size, size))
            continue
        if index not in bounds.get(tensor.name, {}):
            raise DeclarationError(f"{config.name}: {tensor.name} dimension {index} has no bounds")
        low, high = bounds[tensor.name][index]
        ranges.append((low, min(high, max(low, high // 4)), high))
    least, usual, most_of_all = zip(*ranges, strict=True)
    return tuple(least), tuple(usual), tuple(most_of_all)

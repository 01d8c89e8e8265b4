"""One network from its checkpoint to a checked ONNX graph, compared with PyTorch."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import ModelProto

from emoserve_export import graph, parity
from emoserve_export.declaration import Arrays, Network
from emoserve_export.errors import DeclarationError, ParityError
from emoserve_export.parity import Comparison

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Converted:
    """A network's fp32 graph, and how the trained network answered the parity samples.

    Attributes:
        pairs: (inputs, the trained network's outputs) for each sample.
        rows: the comparison of the graph with them.
    """

    network: Network
    model: ModelProto
    pairs: tuple[tuple[Arrays, Arrays], ...]
    rows: tuple[Comparison, ...]


def convert(network: Network) -> Converted:
    """Return the ONNX graph of a network after it proved to answer like the trained one.

    Raises:
        CheckpointError: the weights are refused.
        GraphError: the graph cannot be made or is not valid.
        ParityError: the graph answers differently.
    """
    samples = parity.parity_samples(network)
    if network.build is None:
        model = graph.read_graph(network, _only_source(network))
        session = parity.open_session(model)
        answers = [parity.run_session(session, inputs) for inputs in samples]
        references = answers  # the graph is the trained network
    else:
        module = build_module(network)
        references = [graph.run_module(network, module, inputs) for inputs in samples]
        if network.prepare:
            getattr(module, network.prepare)()
        model = graph.export_graph(network, module)
        session = parity.open_session(model)
        answers = [parity.run_session(session, inputs) for inputs in samples]
    rows = parity.compare(network, "onnx", zip(references, answers, strict=True))
    require_parity(rows)
    return Converted(network, model, tuple(zip(samples, references, strict=True)), tuple(rows))


def build_module(network: Network) -> "nn.Module":
    """Return the PyTorch module with its weights, in evaluation mode."""
    from torch import nn

    from emoserve_export.weights.loading import load_weights

    build = network.build
    if isinstance(build, str):
        module_name, _, attribute = build.partition(":")
        build = getattr(importlib.import_module(module_name), attribute)
    if build is None:
        raise DeclarationError(f"{network.name} has no module: its checkpoint is an ONNX file")
    module = build()
    if not isinstance(module, nn.Module):
        raise DeclarationError(f"{network.name}: build gave {type(module).__name__}, not a module")
    load_weights(module, network.checkpoint)
    return module.eval()


def _only_source(network: Network) -> bytes:
    if len(network.checkpoint) != 1:
        raise DeclarationError(f"{network.name}: without `build` it needs one ONNX file")
    return network.checkpoint[0].read()


def require_parity(rows: list[Comparison]) -> None:
    """Raise ParityError when a comparison failed."""
    failed = [row for row in rows if not row.passed]
    if failed:
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ParityError(
            f"{first.network}: {first.output} after {first.stage} {first.problem}{more}", rows
        )

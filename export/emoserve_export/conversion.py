"""One network from its checkpoint to a checked ONNX graph, compared with PyTorch."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx import ModelProto

from emoserve_export import graph
from emoserve_export.declaration import Arrays, Network, Profile
from emoserve_export.errors import DeclarationError
from emoserve_export.parity import Comparison, Subject, compare, parity_samples, require_parity
from emoserve_export.samples import Samples, real_items, with_metric
from emoserve_export.sessions import open_session

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


def convert(
    network: Network, samples: Samples | None = None, profile: Profile = "cpu"
) -> Converted:
    """Return the ONNX graph of a network after it proved to answer like the trained one.

    Args:
        samples: real items to compare on, before the declared samples.
        profile: where it is to run; graphs for a CPU compute nothing for padding.

    Raises:
        CheckpointError: the weights are refused.
        GraphError: the graph cannot be made or is not valid.
        ParityError: the graph answers differently.
    """
    asked = [*real_items(samples), *parity_samples(network)]
    if network.build is None:
        model = graph.read_graph(network, _only_source(network))
        session = open_session(model)
        references = answers = [session.run(inputs) for inputs in asked]
        if network.prepare:
            _named(network.prepare)(model)
            session = open_session(graph.finished(network, model))
            answers = [session.run(inputs) for inputs in asked]
    else:
        module = build_module(network)
        references = [graph.run_module(network, module, inputs) for inputs in asked]
        if network.prepare:
            getattr(module, network.prepare)()
        if unpadded(network, profile):
            getattr(module, network.unpad)()
        model = graph.export_graph(network, module)
        session = open_session(model)
        answers = [session.run(inputs) for inputs in asked]
    rows = compare(Subject.of(network), "onnx", zip(references, answers, strict=True))
    if samples:
        rows = with_metric(rows, samples, references, answers, network.budget.metric_points)
    require_parity(rows)
    pairs = tuple(zip(asked, references, strict=True))
    return Converted(network, model, pairs, tuple(rows))


def unpadded(network: Network, profile: Profile) -> bool:
    """Tell whether a profile's graph computes nothing for padding."""
    return bool(network.unpad) and profile == "cpu"


def build_module(network: Network) -> "nn.Module":
    """Return the PyTorch module with its weights, in evaluation mode."""
    from torch import nn

    from emoserve_export.weights.header import require_header
    from emoserve_export.weights.loading import load_weights

    build = network.build
    if isinstance(build, str):
        build = _named(build)
    if build is None:
        raise DeclarationError(f"{network.name} has no module: its checkpoint is an ONNX file")
    module = build()
    if not isinstance(module, nn.Module):
        raise DeclarationError(f"{network.name}: build gave {type(module).__name__}, not a module")
    for source in network.checkpoint:
        require_header(source, network)
    load_weights(module, network.checkpoint)
    return module.eval()


def _named(name: str) -> Any:
    """Return what `module:attribute` names."""
    module_name, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module_name), attribute)


def _only_source(network: Network) -> bytes:
    if len(network.checkpoint) != 1:
        raise DeclarationError(f"{network.name}: without `build` it needs one ONNX file")
    return network.checkpoint[0].read()

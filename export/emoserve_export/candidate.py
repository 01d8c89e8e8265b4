"""What a network's next version would be: converted, in its precision, compared, with its facts."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from emoserve_ensemble.runtimes import FILE as RUNTIME
from emoserve_ensemble.runtimes import Runtime
from emoserve_export import golden, graph
from emoserve_export.choices import Choices
from emoserve_export.conversion import Converted, convert, unpadded
from emoserve_export.declaration import Arrays, Network, Precision
from emoserve_export.fingerprint import tool_versions
from emoserve_export.golden_file import FILE
from emoserve_export.graph_files import graph_files
from emoserve_export.parity import Comparison
from emoserve_export.samples import Samples, network_samples
from emoserve_export.sessions import Variant, open_session
from emoserve_export.tune import Trial, fastest, tune
from emoserve_export.variants import compared, in_precision, served_tolerance


@dataclass(frozen=True)
class Candidate:
    """A network that passed its gate.

    Attributes:
        pairs: (inputs, the trained network's outputs); the golden request is taken from them.
        rows: every comparison with the trained network.
        trials: what `--tune` tried.
        excluded: nodes that stayed in float32.
        runtime: what runs it inside the Python steps.
    """

    network: Network
    model: ModelProto
    precision: Precision
    pairs: Sequence[tuple[Arrays, Arrays]]
    rows: Sequence[Comparison]
    trials: Sequence[Trial] = ()
    excluded: tuple[str, ...] = ()
    runtime: Runtime = Runtime()  # noqa: RUF009  frozen

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        network = self.network
        return {
            "precision": self.precision,
            "tolerance": served_tolerance(network, self.precision),
            "labels": {output: list(labels.names) for output, labels in network.labels.items()},
            "checkpoints": {str(source): source.sha256() for source in network.checkpoint},
            "preprocessing": network.preprocessing.name,
            "tools": tool_versions(),
            "parity": [dataclasses.asdict(row) for row in self.rows],
            "runtime": dataclasses.asdict(self.runtime),
            "float32_nodes": list(self.excluded),
            "tuned": [trial.to_json() for trial in self.trials],
        }

    def files(self, version: int) -> dict[str, bytes]:
        """Return the version's folder: the graph with its metadata, a golden request, others."""
        graph.describe(self.model, self._metadata(version))
        data = self.model.SerializeToString(deterministic=True)
        inputs, trained = golden.golden_pair(self.network, self.pairs)
        answer = open_session(data).run(inputs)  # as Triton's own backend runs it
        others = {name: source.read() for name, source in self.network.files.items()}
        if self.runtime != Runtime():
            others[RUNTIME] = self.runtime.to_json()
        golden_request = golden.network_golden(inputs, trained, answer)
        return others | graph_files(data) | {FILE: golden_request}

    def _metadata(self, version: int) -> dict[str, str]:
        network = self.network
        facts = {
            "network": network.name,
            "version": str(version),
            "precision": self.precision,
            "preprocessing": network.preprocessing.name,
            "source": network.source,
            "licence": network.licence,
            "checkpoint_sha256": " ".join(source.sha256() for source in network.checkpoint),
        }
        labels = {f"labels.{name}": ",".join(one.names) for name, one in network.labels.items()}
        return {f"emoserve.{key}": value for key, value in (facts | labels).items()}


def candidate(
    network: Network,
    choices: Choices,
    progress: Callable[[str], None],
    published: Mapping[str, Any] | None = None,
) -> Candidate:
    """Return a network converted as the caller chose, else as it was published before.

    Args:
        published: what the manifest says of the version before.

    Raises:
        ExportError: the weights, the graph or the gate refuse it.
    """
    progress("PyTorch to ONNX")
    samples = network_samples(network, choices.samples)
    converted = convert(network, samples, choices.profile)
    if not choices.tune:
        known = published if published and choices.precision is None else {}
        precision = choices.precision or known.get("precision", network.precision)
        made = in_precision(converted, precision, samples, progress, known.get("float32_nodes"))
        return _gated(converted, made, precision, samples, choices)
    trials = tune(converted, samples, progress)
    best = fastest(trials)
    made = best.variant or Variant(converted.model)
    return _gated(converted, made, best.precision, samples, choices, trials)


def _gated(
    converted: Converted,
    made: Variant,
    precision: Precision,
    samples: Samples | None,
    choices: Choices,
    trials: Sequence[Trial] = (),
) -> Candidate:
    rows = [*converted.rows, *compared(converted, made, precision, samples)]
    network, pairs = converted.network, converted.pairs
    runtime = dataclasses.replace(made.runtime, unpadded=unpadded(network, choices.profile))
    return Candidate(network, made.model, precision, pairs, rows, trials, made.excluded, runtime)

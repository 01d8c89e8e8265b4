"""What lies in a model's folder, as bytes by path."""

import hashlib
from collections.abc import Sequence

from onnx import ModelProto

from emoserve_export import golden, golden_file, graph
from emoserve_export.catalogue import TOKENIZER
from emoserve_export.configs import warmup
from emoserve_export.configs.generate import (
    Profile,
    adapter_text,
    config_text,
    label_file,
    network_config,
    step_config,
)
from emoserve_export.configs.steps import Step
from emoserve_export.declaration import Arrays, Network, Precision
from emoserve_export.sessions import open_session, run_session

GRAPH = "model.onnx"


def declared_files(network: Network, profile: Profile) -> dict[str, bytes]:
    """Return what follows from the declaration alone: the config and the label files."""
    files = {"config.pbtxt": config_text(network_config(network, profile)).encode()}
    for output, labels in network.labels.items():
        files[label_file(output)] = ("\n".join(labels.names) + "\n").encode()
    return files


def step_files(step: Step, profile: Profile) -> dict[str, bytes]:
    """Return the files of a Python step: config, adapter, tokenizer."""
    files = {
        "config.pbtxt": config_text(step_config(step, profile)).encode(),
        "1/model.py": adapter_text(step).encode(),
    }
    if profile == "cpu":
        files |= warmup.step_files(step.name)
    if "tokenizer.json" in step.files:
        files["1/tokenizer.json"] = TOKENIZER.read()
    return files


def version_files(
    network: Network,
    model: ModelProto,
    precision: Precision,
    pairs: Sequence[tuple[Arrays, Arrays]],
    version: int,
) -> dict[str, bytes]:
    """Return the files of a version's folder: the graph with its metadata, a golden request.

    Args:
        pairs: (inputs, the trained network's outputs); the golden request is taken from them.
    """
    graph.describe(model, _metadata(network, precision, version))
    data = model.SerializeToString(deterministic=True)
    inputs, trained = _golden_pair(network, pairs)
    answer = run_session(open_session(data), inputs)
    others = {name: source.read() for name, source in network.files.items()}
    return others | {GRAPH: data, golden_file.FILE: golden.network_golden(inputs, trained, answer)}


def _golden_pair(network: Network, pairs: Sequence[tuple[Arrays, Arrays]]) -> tuple[Arrays, Arrays]:
    """Return two items, of real data where there is any."""
    if not network.batched:
        return pairs[-1]  # the longest
    inputs, trained = next(pair for pair in pairs if len(pair[0][network.inputs[0].name]) >= 2)
    return {k: v[:2] for k, v in inputs.items()}, {k: v[:2] for k, v in trained.items()}


def _metadata(network: Network, precision: Precision, version: int) -> dict[str, str]:
    sources = [source.sha256() for source in network.checkpoint]
    facts = {
        "network": network.name,
        "version": str(version),
        "precision": precision,
        "preprocessing": network.preprocessing.name,
        "source": network.source,
        "licence": network.licence,
        "checkpoint_sha256": " ".join(sources),
    }
    labels = {f"labels.{output}": ",".join(item.names) for output, item in network.labels.items()}
    return {f"emoserve.{key}": value for key, value in (facts | labels).items()}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}

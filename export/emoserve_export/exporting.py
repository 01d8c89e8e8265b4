"""Networks and steps into a model repository: convert, compare, stage, publish together."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoserve_export import golden, graph
from emoserve_export.catalogue import TOKENIZER
from emoserve_export.configs.generate import (
    Profile,
    adapter_text,
    config_text,
    label_file,
    network_config,
    step_config,
)
from emoserve_export.configs.steps import STEPS, Step
from emoserve_export.conversion import Converted, convert
from emoserve_export.declaration import Network
from emoserve_export.errors import RepositoryError
from emoserve_export.fingerprint import fingerprint, tool_versions
from emoserve_export.manifest import changed_files
from emoserve_export.parity import Comparison
from emoserve_export.publish import Publication
from emoserve_export.sessions import open_session, run_session

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Choices:
    """What the caller chose.

    Attributes:
        force: export again what is up to date.
        keep: versions of each network that stay on disk.
        with_steps: also write the Python steps.
    """

    profile: Profile = "cpu"
    force: bool = False
    keep: int = 3
    with_steps: bool = True


@dataclass
class Report:
    """What an export did."""

    rows: list[Comparison] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def export(
    networks: Sequence[Network],
    repository: Path,
    choices: Choices | None = None,
    progress: Progress = lambda name, state: None,
) -> Report:
    """Publish networks (and the steps) into a model repository, all of them or none.

    Raises:
        ExportError: the repository is as it was before.
    """
    choices, report = choices or Choices(), Report()
    with Publication(repository) as publication:
        for network in networks:
            _export_network(network, publication, choices, report, progress)
        if choices.with_steps:
            _export_steps(networks, publication, choices, report, progress)
        _drop_stale_goldens(publication, choices, report)
        publication.manifest.profile = choices.profile
        progress("repository", "publishing")
        report.changed = publication.commit()
    return report


def _export_steps(
    networks: Sequence[Network],
    publication: Publication,
    choices: Choices,
    report: Report,
    progress: Progress,
) -> None:
    for step in STEPS:
        publication.stage(step.name, step_files(step, choices.profile))
    wanted = [f"{name}/1/{golden.FILE}" for name in golden.PIPELINES]
    there = all(name in publication.manifest.files for name in wanted)
    if there and len(report.skipped) == len(networks):
        return
    progress("pipelines", "answering the golden requests with the trained networks")
    for name, data in golden.pipeline_goldens(networks, TOKENIZER.read()).items():
        publication.stage(name, {f"1/{golden.FILE}": data})


def _drop_stale_goldens(publication: Publication, choices: Choices, report: Report) -> None:
    """Take away what a pipeline answered with a network that has been replaced since."""
    replaced = report.versions.keys() - set(report.skipped)
    for step in STEPS:
        if not choices.with_steps and replaced & set(step.networks):
            publication.stage(step.name, {}, drop=(f"1/{golden.FILE}",))


def _export_network(
    network: Network,
    publication: Publication,
    choices: Choices,
    report: Report,
    progress: Progress,
) -> None:
    manifest, name = publication.manifest, network.name
    mark = fingerprint(network)
    declared = declared_files(network, choices.profile)
    record = manifest.record(name)
    fresh = record is not None and record["fingerprint"] == mark
    if fresh and not choices.force and not _damaged(publication, network):
        progress(name, "up to date")
        report.skipped.append(name)
        report.versions[name] = manifest.networks[name]["version"]
        publication.stage(name, declared)
        return
    progress(name, "converting")
    converted = convert(network)
    report.rows += converted.rows
    facts = _facts(converted, mark, declared)
    version = stage_version(publication, network, facts, converted, choices.keep)
    publication.stage(name, declared)
    report.versions[name] = version
    progress(name, f"version {version}")


def _damaged(publication: Publication, network: Network) -> bool:
    version = publication.manifest.networks[network.name]["version"]
    under = f"{network.name}/{version}/"
    return bool(changed_files(publication.repository, publication.manifest, under))


def _facts(converted: Converted, mark: str, declared: dict[str, bytes]) -> dict[str, Any]:
    network = converted.network
    return {
        "tolerance": dataclasses.asdict(network.tolerance),
        "labels": {output: list(labels.names) for output, labels in network.labels.items()},
        "fingerprint": mark,
        "precision": "fp32",
        "checkpoints": {str(source): source.sha256() for source in network.checkpoint},
        "tools": tool_versions(),
        "parity": [dataclasses.asdict(row) for row in converted.rows],
        "declared": {name: content.decode() for name, content in declared.items()},
    }


def stage_version(
    publication: Publication,
    network: Network,
    facts: dict[str, Any],
    converted: Converted,
    keep: int,
) -> int:
    """Stage a network's graph as its next version, or as its present one when nothing changed."""
    entry = publication.manifest.networks.setdefault(
        network.name, {"version": 0, "last_version": 0, "versions": {}}
    )
    version = entry["version"]
    if version == 0 or not _same(publication, network, version, converted):
        version = entry["last_version"] + 1
    files = version_files(converted, version)
    publication.stage(network.name, {f"{version}/{n}": data for n, data in files.items()})
    entry["version"], entry["last_version"] = version, max(version, entry["last_version"])
    entry["versions"][str(version)] = facts
    _drop_oldest(publication, network.name, entry, keep)
    return int(version)


def _same(publication: Publication, network: Network, version: int, converted: Converted) -> bool:
    folder = f"{network.name}/{version}/"
    listed = {
        n[len(folder) :]: d for n, d in publication.manifest.files.items() if n.startswith(folder)
    }
    made = version_files(converted, version)
    return listed == {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}


def _drop_oldest(publication: Publication, name: str, entry: dict[str, Any], keep: int) -> None:
    old = sorted(entry["versions"], key=int)[: -max(1, keep)]
    for version in old:
        if int(version) != entry["version"]:
            del entry["versions"][version]
            publication.stage(name, {}, drop=(version,))


def version_files(converted: Converted, version: int) -> dict[str, bytes]:
    """Return the files of a version's folder: the graph with its metadata."""
    network = converted.network
    facts = {
        "emoserve.network": network.name,
        "emoserve.version": str(version),
        "emoserve.preprocessing": network.preprocessing.name,
        "emoserve.source": network.source,
        "emoserve.licence": network.licence,
        "emoserve.checkpoint_sha256": " ".join(c.sha256() for c in network.checkpoint),
    }
    for output, labels in network.labels.items():
        facts[f"emoserve.labels.{output}"] = ",".join(labels.names)
    graph.describe(converted.model, facts)
    data = converted.model.SerializeToString(deterministic=True)
    inputs, trained = converted.pairs[1]
    answer = run_session(open_session(data), inputs)
    return {"model.onnx": data, golden.FILE: golden.network_golden(inputs, trained, answer)}


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
    if "tokenizer.json" in step.files:
        files["1/tokenizer.json"] = TOKENIZER.read()
    return files


def roll_back(network: str, repository: Path) -> int:
    """Return the version that is published after the newest one was taken away.

    Raises:
        RepositoryError: there is no such network or no earlier version.
    """
    with Publication(repository) as publication:
        manifest = publication.manifest
        entry = manifest.networks.get(network)
        if entry is None:
            raise RepositoryError(
                f"no network {network!r}; published are {sorted(manifest.networks)}"
            )
        earlier = [int(v) for v in entry["versions"] if int(v) < entry["version"]]
        if not earlier:
            raise RepositoryError(f"{network} has no version before {entry['version']}")
        _restore(publication, network, entry, max(earlier))
        publication.commit()
        return max(earlier)


def _restore(publication: Publication, network: str, entry: dict[str, Any], version: int) -> None:
    dropped = str(entry["version"])
    del entry["versions"][dropped]
    entry["version"] = version
    declared = entry["versions"][str(version)]["declared"]
    files = {name: text.encode() for name, text in declared.items()}
    publication.stage(network, files, drop=(dropped,))

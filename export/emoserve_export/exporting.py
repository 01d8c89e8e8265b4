"""Networks and steps into a model repository: convert, compare, stage, publish together."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import ModelProto

from emoserve_export import golden, golden_file
from emoserve_export.catalogue import TOKENIZER
from emoserve_export.configs.generate import Profile
from emoserve_export.configs.steps import STEPS
from emoserve_export.configs.warmup import network_files
from emoserve_export.conversion import Converted, convert
from emoserve_export.declaration import Network, Precision
from emoserve_export.fingerprint import fingerprint, tool_versions
from emoserve_export.folders import declared_files, step_files, version_files
from emoserve_export.manifest import changed_files
from emoserve_export.parity import Comparison
from emoserve_export.publish import Publication
from emoserve_export.samples import Samples, network_samples
from emoserve_export.sensitivity import Int8
from emoserve_export.tune import Trial, fastest, tune
from emoserve_export.variants import compared, in_precision, served_tolerance
from emoserve_export.versions import stage_version

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Choices:
    """What the caller chose.

    Attributes:
        force: export again what is up to date.
        keep: versions of each network that stay on disk.
        with_steps: also write the Python steps.
        precision: for every network; None takes the published one, else the declared one.
        tune: measure all precisions and take the fastest that is good enough.
        samples: folder with `<network>.npz` of real data.
    """

    profile: Profile = "cpu"
    force: bool = False
    keep: int = 3
    with_steps: bool = True
    precision: Precision | None = None
    tune: bool = False
    samples: Path | None = None


@dataclass
class Report:
    """What an export did."""

    rows: list[Comparison] = field(default_factory=list)
    trials: dict[str, list[Trial]] = field(default_factory=dict)
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
    with Publication(repository) as publication:
        run = _Export(publication, choices or Choices(), progress)
        for network in networks:
            run.network(network)
        run.steps(networks)
        publication.manifest.profile = run.choices.profile
        progress("repository", "publishing")
        run.report.changed = publication.commit()
    return run.report


@dataclass
class _Export:
    """An export in progress."""

    publication: Publication
    choices: Choices
    progress: Progress
    report: Report = field(default_factory=Report)

    def network(self, network: Network) -> None:
        """Stage one network, unless it is up to date."""
        name, mark = network.name, fingerprint(network)
        declared = declared_files(network, self.choices.profile)
        if self._up_to_date(network, mark):
            self.progress(name, "up to date")
            self.report.skipped.append(name)
            self.report.versions[name] = self.publication.manifest.networks[name]["version"]
        else:
            self._convert(network, {"fingerprint": mark, "declared": _texts(declared)})
        self.publication.stage(name, declared | network_files(network))

    def _up_to_date(self, network: Network, mark: str) -> bool:
        record = self.publication.manifest.record(network.name)
        if record is None or record["fingerprint"] != mark:
            return False
        if self.choices.force or self.choices.tune:
            return False
        if self.choices.precision not in (None, record["precision"]):
            return False
        version = self.publication.manifest.networks[network.name]["version"]
        under = f"{network.name}/{version}/"
        return not changed_files(self.publication.repository, self.publication.manifest, under)

    def _convert(self, network: Network, facts: dict[str, Any]) -> None:
        name = network.name
        self.progress(name, "PyTorch to ONNX")
        samples = network_samples(network, self.choices.samples)
        converted = convert(network, samples)
        precision, made = self._variant(converted, samples)
        rows = [*converted.rows, *compared(converted, made, precision, samples)]
        self.report.rows += rows
        facts |= _facts(network, precision, rows)
        facts["float32_nodes"] = list(made.excluded)
        facts["tuned"] = [trial.to_json() for trial in self.report.trials.get(name, [])]
        version = self._stage(converted, made.model, precision, facts)
        self.report.versions[name] = version
        self.progress(name, f"version {version}, {precision}")

    def _stage(
        self, converted: Converted, model: ModelProto, precision: Precision, facts: dict[str, Any]
    ) -> int:
        def files(version: int) -> dict[str, bytes]:
            return version_files(converted.network, model, precision, converted.pairs, version)

        name = converted.network.name
        return stage_version(self.publication, name, files, facts, self.choices.keep)

    def _variant(self, converted: Converted, samples: Samples | None) -> tuple[Precision, Int8]:
        network = converted.network

        def progress(state: str) -> None:
            self.progress(network.name, state)

        if not self.choices.tune:
            precision = self.choices.precision or network.precision
            return precision, in_precision(converted, precision, samples, progress)
        trials = tune(converted, samples, progress)
        self.report.trials[network.name] = trials
        best = fastest(trials)
        return best.precision, Int8(best.model or converted.model, best.excluded)

    def steps(self, networks: Sequence[Network]) -> None:
        """Stage the Python steps and the golden requests of the pipelines."""
        replaced = self.report.versions.keys() - set(self.report.skipped)
        if not self.choices.with_steps:
            self._drop_goldens(replaced)
            return
        for step in STEPS:
            self.publication.stage(step.name, step_files(step, self.choices.profile))
        wanted = {f"{name}/1/{golden_file.FILE}" for name in golden_file.PIPELINES}
        if replaced or not wanted <= self.publication.manifest.files.keys():
            self.progress("pipelines", "golden requests, answered by the trained networks")
            for name, data in golden.pipeline_goldens(networks, TOKENIZER.read()).items():
                self.publication.stage(name, {f"1/{golden_file.FILE}": data})

    def _drop_goldens(self, replaced: set[str]) -> None:
        """Take away what a pipeline answered with a network that has been replaced since."""
        for step in STEPS:
            path = f"1/{golden_file.FILE}"
            if replaced & set(step.networks) and f"{step.name}/{path}" in self._listed:
                self.publication.stage(step.name, {}, drop=(path,))

    @property
    def _listed(self) -> dict[str, str]:
        return self.publication.manifest.files


def _texts(files: dict[str, bytes]) -> dict[str, str]:
    return {name: content.decode() for name, content in files.items()}


def _facts(network: Network, precision: Precision, rows: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "precision": precision,
        "tolerance": served_tolerance(network, precision),
        "labels": {output: list(labels.names) for output, labels in network.labels.items()},
        "checkpoints": {str(source): source.sha256() for source in network.checkpoint},
        "preprocessing": network.preprocessing.name,
        "tools": tool_versions(),
        "parity": [dataclasses.asdict(row) for row in rows],
    }

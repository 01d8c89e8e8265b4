"""Networks and steps into a model repository: convert, compare, stage, publish together.

What torch is needed for is imported only when a network must be converted: an export that finds
everything up to date is done in seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emoserve_export.catalogue import TOKENIZER
from emoserve_export.choices import Choices, Report
from emoserve_export.configs.steps import STEPS
from emoserve_export.configs.warmup import network_files
from emoserve_export.declaration import Network
from emoserve_export.fingerprint import fingerprint
from emoserve_export.folders import declared_files, step_files
from emoserve_export.golden_file import FILE, PIPELINES
from emoserve_export.manifest import changed_files
from emoserve_export.publish import Publication
from emoserve_export.versions import stage_version

__all__ = ["Choices", "Report", "export"]

Progress = Callable[[str, str], None]


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
        name, mark = network.name, self._fingerprint(network)
        declared = declared_files(network, self.choices.profile, self.choices.max_queue_size)
        if self._up_to_date(network, mark):
            self.progress(name, "up to date")
            self.report.skipped.append(name)
            self.report.versions[name] = self.publication.manifest.networks[name]["version"]
        else:
            texts = {name: content.decode() for name, content in declared.items()}
            self._convert(network, {"fingerprint": mark, "declared": texts})
        self.publication.stage(name, declared | network_files(network))

    def _fingerprint(self, network: Network) -> str:
        return fingerprint(network, profile=self.choices.profile if network.unpad else "")

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

    def _convert(self, network: Network, facts: dict[str, object]) -> None:
        from emoserve_export.candidate import candidate

        name, report = network.name, self.report
        published = self.publication.manifest.record(name)
        made = candidate(network, self.choices, lambda state: self.progress(name, state), published)
        report.rows += made.rows
        if made.trials:
            report.trials[name] = list(made.trials)
        version = stage_version(
            self.publication, name, made.files, facts | made.facts(), self.choices.keep
        )
        report.versions[name] = version
        self.progress(name, f"version {version}, {made.precision}")

    def steps(self, networks: Sequence[Network]) -> None:
        """Stage the Python steps and the golden requests of the pipelines."""
        replaced = self.report.versions.keys() - set(self.report.skipped)
        if not self.choices.with_steps:
            self._drop_goldens(replaced)
            return
        chosen = self.choices
        for step in STEPS:
            files = step_files(step, chosen.profile, chosen.max_queue_size, chosen.queue_delay_us)
            self.publication.stage(step.name, files)
        wanted = {f"{name}/1/{FILE}" for name in PIPELINES}
        if replaced or not wanted <= self.publication.manifest.files.keys():
            from emoserve_export import golden

            self.progress("pipelines", "golden requests, answered by the trained networks")
            for name, data in golden.pipeline_goldens(networks, TOKENIZER.read()).items():
                self.publication.stage(name, {f"1/{FILE}": data})

    def _drop_goldens(self, replaced: set[str]) -> None:
        """Take away what a pipeline answered with a network that has been replaced since."""
        for step in STEPS:
            path = f"1/{FILE}"
            if replaced & set(step.networks) and f"{step.name}/{path}" in self._listed:
                self.publication.stage(step.name, {}, drop=(path,))

    @property
    def _listed(self) -> dict[str, str]:
        return self.publication.manifest.files

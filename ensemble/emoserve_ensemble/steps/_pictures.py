"""A step whose pictures are analysed in processes of its own."""

from collections.abc import Mapping

from emoserve_ensemble.face_process import FaceProcesses
from emoserve_ensemble.steps._step import Answer, Member, Step, StepConfig


class PictureStep(Step[Member, Answer]):
    """With the networks in process, one instance has hands, and a process for pictures per core.

    `processes` is None where the networks are asked of Triton (docs/decisions.md 19, 23).
    """

    processes: FaceProcesses | None = None

    def load(self, config: StepConfig) -> None:
        if not config.in_process:
            super().load(config)
            return
        self.processes = FaceProcesses(
            config.concurrency, config.repository, config.threads, config.limits
        )
        own = self.load_beside(config)  # they load meanwhile
        self._versions = {**own, **self.processes.loaded()}
        self.hands = config.hands()

    def load_beside(self, config: StepConfig) -> Mapping[str, str]:
        """Load what the step itself works with; return the version of each network."""
        return {}

    @property
    def versions(self) -> Mapping[str, str]:
        return super().versions if self.processes is None else self._versions

    def finalize(self) -> None:
        if self.processes is None:
            super().finalize()
            return
        assert self.hands is not None
        self.hands.close()
        self.processes.close()

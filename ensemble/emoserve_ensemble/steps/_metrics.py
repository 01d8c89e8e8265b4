"""The steps' own Prometheus metrics, on Triton's metrics port.

Named by the Prometheus conventions: base units, `_total` for counters. Instances of a step add to
the same series; rates and ratios are left to PromQL, for example faces per frame:
`rate(emoserve_faces_total[5m]) / rate(emoserve_frames_total[5m])`.
"""

from typing import Any

import triton_python_backend_utils as pb_utils

from emoserve_ensemble.fusion import Moment
from emoserve_ensemble.labels import MODALITIES


class StepMetrics:
    """Counters of one step.

    Args:
        model: the served model's name, the label `model` of every series.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._counters: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._families: dict[str, Any] = {}

    def rejected(self, reason: str) -> None:
        """Count an input that could not be used."""
        self._add("emoserve_rejected_inputs_total", "Inputs that could not be used.", reason=reason)

    def cancelled(self) -> None:
        """Count a request whose caller went away while it was worked on."""
        self._add("emoserve_cancelled_total", "Requests whose callers went away meanwhile.")

    def looked(self, frames: int, faces: int) -> None:
        """Count pictures or frames looked at, and the faces in them."""
        self._add("emoserve_frames_total", "Pictures and frames looked at.", frames)
        self._add("emoserve_faces_total", "Faces found in them.", faces)

    def heard(self, seconds: float) -> None:
        """Count seconds of media analysed."""
        self._add("emoserve_media_seconds_total", "Seconds of sound and video analysed.", seconds)

    def counted(self, moment: Moment) -> None:
        """Count the modalities that counted in a fused answer."""
        for modality, present in zip(MODALITIES, moment.presence, strict=True):
            self.modality(modality, int(present))

    def modality(self, modality: str, count: int) -> None:
        """Count fused answers to which a modality contributed."""
        help_text = "Fused answers to which a modality contributed."
        self._add("emoserve_modalities_total", help_text, count, modality=modality)

    def _add(self, name: str, description: str, amount: float = 1, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        if key not in self._counters:
            if name not in self._families:
                self._families[name] = pb_utils.MetricFamily(
                    name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
                )
            self._counters[key] = self._families[name].Metric(
                labels={"model": self._model} | labels
            )
        if amount:
            self._counters[key].increment(amount)

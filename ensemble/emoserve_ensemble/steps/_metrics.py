"""The steps' own Prometheus metrics, on Triton's metrics port.

Named by the Prometheus conventions: base units, `_total` for counters. Instances of a step add to
the same series; rates and ratios are left to PromQL, for example faces per frame:
`rate(emoserve_faces_total[5m]) / rate(emoserve_frames_total[5m])`.

Triton holds the metrics in its own process: each increment is a message that waits for its answer,
0.1 to 0.2 ms. So a step counts by itself and tells Triton once a second, while there is news.
"""

import threading
from collections import Counter
from typing import Any, Final, TypeAlias

import triton_python_backend_utils as pb_utils

from emoserve_ensemble.fusion import Moment
from emoserve_ensemble.labels import MODALITIES

_Series: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]  # name, description, labels

TOLD_EVERY_S: Final = 1.0


class StepMetrics:
    """Counters of one step; threads may count at the same time.

    Args:
        model: the served model's name, the label `model` of every series.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._counters: dict[_Series, Any] = {}
        self._families: dict[str, Any] = {}
        self._news: Counter[_Series] = Counter()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def rejected(self, reason: str) -> None:
        """Count an input that could not be used."""
        self._add("emoserve_rejected_inputs_total", "Inputs that could not be used.", reason=reason)

    def failed(self, requests: int = 1) -> None:
        """Count requests that met a fault of ours.

        To Triton 2.51 an error that a Python step answers is a success.
        """
        self._add("emoserve_failed_total", "Requests that met a fault of the step.", requests)

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

    def tell(self) -> None:
        """Tell Triton what was counted since the last time."""
        with self._lock:
            news, self._news, self._timer = self._news, Counter(), None
            for series, amount in news.items():
                counter = self._counters.get(series) or self._new(series)
                if amount:
                    counter.increment(amount)

    def _add(self, name: str, description: str, amount: float = 1, **labels: str) -> None:
        series = (name, description, tuple(sorted(labels.items())))
        with self._lock:
            self._news[series] += amount  # type: ignore[assignment]  # seconds are no integers
            if self._timer is None:
                self._timer = threading.Timer(TOLD_EVERY_S, self.tell)
                self._timer.daemon = True
                self._timer.start()

    def _new(self, series: _Series) -> Any:
        name, description, labels = series
        if name not in self._families:
            self._families[name] = pb_utils.MetricFamily(
                name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
            )
        labelled = {"model": self._model} | dict(labels)
        self._counters[series] = self._families[name].Metric(labels=labelled)
        return self._counters[series]

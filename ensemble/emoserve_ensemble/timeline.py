"""A dominant emotion over time that does not flicker.

Single-frame decisions jump; users of such systems smooth them by hand. Here the probabilities run
through an exponential average in time before the largest is named, and a name below the caller's
threshold is «uncertain».
"""

import math
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.labels import EMOTIONS

UNCERTAIN = "uncertain"
TIME_CONSTANT_S = 1.0


def dominant(emotion: Floats, threshold: float) -> str:
    """Return the most likely emotion, or «uncertain» below the threshold; `emotion` is [7]."""
    index = int(np.argmax(emotion))
    return EMOTIONS[index] if float(emotion[index]) >= threshold else UNCERTAIN


@dataclass
class Segment:
    """A stretch of time with one dominant emotion."""

    start_s: float
    end_s: float
    label: str

    def to_json(self) -> dict[str, object]:
        return {
            "start_time": round(self.start_s, 3),
            "end_time": round(self.end_s, 3),
            "label": self.label,
        }


class Timeline:
    """Smooths a series of probabilities and keeps the stretches of its dominant emotion.

    Args:
        threshold: confidence under which the emotion is «uncertain».
        time_constant_s: after so long without support a value has fallen to 37 %.
    """

    def __init__(self, threshold: float, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self.segments: list[Segment] = []
        self._threshold = threshold
        self._time_constant_s = time_constant_s
        self._smooth: Floats | None = None
        self._last_s = 0.0

    def add(self, time_s: float, emotion: Floats) -> str:
        """Take probabilities float32 [7] at a time; return the smoothed dominant emotion."""
        if self._smooth is None:
            self._smooth = emotion.astype(np.float32)
        else:
            keep = math.exp(-max(time_s - self._last_s, 1e-3) / self._time_constant_s)
            self._smooth = np.asarray(keep * self._smooth + (1 - keep) * emotion, np.float32)
        self._last_s = time_s
        label = dominant(self._smooth, self._threshold)
        if self.segments and self.segments[-1].label == label:
            self.segments[-1].end_s = time_s
        else:
            if self.segments:
                self.segments[-1].end_s = time_s
            self.segments.append(Segment(time_s, time_s, label))
        return label

"""Faces of successive frames to persons: stable numbers while a face moves little between samples.

Greedy matching by overlap, the usual first stage of trackers (Bewley et al. 2016, «Simple Online
and Realtime Tracking», arXiv:1602.00763), without its motion model: at a few frames a second a
speaker's face overlaps itself. After a cut, or away for `gap_s`, a face is a new person.
"""

from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.timeline import Segment, Timeline


@dataclass
class Person:
    """One person of a clip, as far as seen.

    Attributes:
        number: 1 for the first that was seen.
        box: float32 [4], where they were seen last.
        first_s, last_s: when they were seen.
        frames: in how many sampled frames.
        total: float32 [7], sum of their emotions over frames.
        timeline: their smoothed dominant emotion.
    """

    number: int
    box: Floats
    first_s: float
    last_s: float
    frames: int
    total: Floats
    timeline: Timeline

    @property
    def emotion(self) -> Floats:
        """float32 [7], their mean over frames."""
        return np.asarray(self.total / self.frames, np.float32)

    @property
    def segments(self) -> list[Segment]:
        return self.timeline.segments


class Tracker:
    """Numbers the faces of each frame.

    Args:
        threshold: confidence under which a dominant emotion is «uncertain».
        min_overlap: intersection over union with a person's last box that counts as the same.
        gap_s: how long a person may be out of sight.
    """

    def __init__(self, threshold: float, *, min_overlap: float = 0.2, gap_s: float = 2.0) -> None:
        self.persons: list[Person] = []
        self._threshold = threshold
        self._min_overlap = min_overlap
        self._gap_s = gap_s

    def number(self, time_s: float, boxes: Floats, emotion: Floats) -> list[int]:
        """Return the person's number of each face: boxes float32 [faces, 4], emotion [faces, 7]."""
        near = [person for person in self.persons if time_s - person.last_s <= self._gap_s]
        matched = self._matched(near, boxes)
        numbers = []
        for index in range(len(boxes)):
            person = matched.get(index) or self._new(time_s)
            self._see(person, time_s, boxes[index], emotion[index])
            numbers.append(person.number)
        return numbers

    def _matched(self, near: list[Person], boxes: Floats) -> dict[int, Person]:
        """Return the person of each face that continues one, the largest overlaps first."""
        if not near or not len(boxes):
            return {}
        overlap = overlaps(np.stack([person.box for person in near]), boxes)
        matched: dict[int, Person] = {}
        taken: set[int] = set()
        for flat in np.argsort(-overlap, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(boxes))
            if overlap[row, column] < self._min_overlap:
                break
            if row not in taken and column not in matched:
                matched[column] = near[row]
                taken.add(row)
        return matched

    def _new(self, time_s: float) -> Person:
        nothing = np.zeros(7, np.float32)
        timeline = Timeline(self._threshold)
        person = Person(
            len(self.persons) + 1, np.zeros(4, np.float32), time_s, time_s, 0, nothing, timeline
        )
        self.persons.append(person)
        return person

    def _see(self, person: Person, time_s: float, box: Floats, emotion: Floats) -> None:
        person.box, person.last_s = box, time_s
        person.frames += 1
        person.total = person.total + emotion
        person.timeline.add(time_s, emotion)


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of float32 [n, 4] with [m, 4]: float32 [n, m]."""
    left_top = np.maximum(first[:, None, :2], second[None, :, :2])
    right_bottom = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(right_bottom - left_top, 0).prod(axis=2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)

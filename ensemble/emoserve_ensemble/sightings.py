"""The faces of a clip's sampled frames: looked at in batches, numbered by person."""

from dataclasses import dataclass

from emoserve_ensemble import answers, face
from emoserve_ensemble.clip_settings import ClipSettings
from emoserve_ensemble.detection import DetectorSettings
from emoserve_ensemble.faces import Faces
from emoserve_ensemble.fusion import Absent, Evidence
from emoserve_ensemble.media import Frame
from emoserve_ensemble.networks import Networks
from emoserve_ensemble.persons import Person, Tracker

FRAMES_AT_ONCE = 8  # frames that go through the face networks together
MIN_FACE_PX = 32


@dataclass(frozen=True)
class Sighting:
    """One sampled frame: its faces and whose they are."""

    time_s: float
    faces: Faces
    persons: list[int]

    def to_json(self) -> answers.Json:
        seen = [
            {"person": person, **own}
            for person, own in zip(self.persons, self.faces.to_json()["faces"], strict=True)
        ]
        return {"time": round(self.time_s, 3), "faces": seen}


class Sightings:
    """Looks at frames as they come."""

    def __init__(self, networks: Networks, settings: ClipSettings) -> None:
        self._networks = networks
        self._detector = DetectorSettings(settings.max_side_px, MIN_FACE_PX, border=0.0)
        self._tracker = Tracker(settings.threshold)
        self._frames: list[Frame] = []  # not yet looked at
        self._seen: list[Sighting] = []  # frames an utterance may still need
        self._forgotten: face.Pool = face.Pool()
        self.end_s = 0.0

    @property
    def persons(self) -> list[Person]:
        """All persons seen so far."""
        self._look()
        return self._tracker.persons

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.end_s = frame.time_s
        self._frames.append(frame)
        if len(self._frames) >= FRAMES_AT_ONCE:
            self._look()

    def forget(self, before_s: float) -> None:
        """Keep frames before a time only as part of the whole clip's mean, but for the last one."""
        keep = 0
        while keep < len(self._seen) - 1 and self._seen[keep].time_s < before_s:
            self._forgotten.add(self._seen[keep].faces)
            keep += 1
        self._seen = self._seen[keep:]

    def during(self, start_s: float, end_s: float) -> tuple[Evidence | Absent, list[answers.Json]]:
        """Return the faces of a stretch of time as a modality, and frame by frame."""
        if self._frames and self._frames[0].time_s <= end_s:
            self._look()
        during = [seen for seen in self._seen if start_s <= seen.time_s <= end_s]
        if not during and self._seen:  # shorter than the sampling period: the nearest frame
            middle_s = (start_s + end_s) / 2
            during = [min(self._seen, key=lambda seen: abs(seen.time_s - middle_s))]
        pool = face.Pool()
        if start_s == 0.0 and during and during[0] is self._seen[0]:
            pool = self._forgotten.copy()  # the clip from its start: nobody spoke before
        for seen in during:
            pool.add(seen.faces)
        evidence = pool.evidence()
        numbers = sorted({number for seen in during for number in seen.persons})
        evidence.details["persons"] = numbers
        return evidence, [seen.to_json() for seen in during]

    def _look(self) -> None:
        if not self._frames:
            return
        pictures = [frame.pixels for frame in self._frames]
        analyzed = face.analyze_pictures(pictures, self._networks, self._detector)
        for frame, faces in zip(self._frames, analyzed, strict=True):
            numbers = self._tracker.number(frame.time_s, faces.found.boxes, faces.emotion)
            self._seen.append(Sighting(frame.time_s, faces, numbers))
        self._frames = []

"""Faces and their emotions: what `face` finds. Nothing here computes, or needs OpenCV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats, parts
from emoserve_ensemble.errors import InputError

NETWORKS = ("face_pnet", "face_rnet", "face_onet", "face_net")


@dataclass(frozen=True)
class FoundFaces:
    """Faces of one picture, the most confident first.

    Attributes:
        boxes: float32 [faces, 4], left, top, right, bottom in the picture's own pixels.
        detection: float32 [faces], probability of being a face.
        landmarks: float32 [faces, 5, 2], x and y of both eyes, nose, both mouth corners, pixels.
    """

    boxes: Floats
    detection: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, the most certain first.

    Attributes:
        size: width and height of the picture, pixels.
        found: where they are.
        emotion: float32 [faces, 7], canonical order.
        embedding: float32 [faces, 128].
        quality: float32 [faces], 0 to 1: large, sharp, well lit and frontal.
    """

    size: tuple[int, int]
    found: FoundFaces
    emotion: Floats
    embedding: Floats
    quality: Floats

    def __len__(self) -> int:
        return len(self.found)

    @property
    def shares(self) -> Floats:
        """Share of each face in the picture's answer, by its area and quality: float32 [faces]."""
        sides = self.found.boxes[:, 2:] - self.found.boxes[:, :2]
        counts = np.maximum(sides, 1).prod(axis=1) * (0.1 + self.quality)
        return np.asarray(counts / counts.sum(), np.float32)

    def to_json(self) -> answers.Json:
        width, height = self.size
        found = self.found
        rows = zip(found.boxes, found.detection, self.quality, self.emotion, strict=True)
        faces = [
            {
                "box": [round(float(side), 1) for side in box],
                "detection": round(float(detection), 4),
                "quality": round(float(quality), 4),
                "emotions": answers.emotions(emotion),
            }
            for box, detection, quality, emotion in rows
        ]
        return {"width": width, "height": height, "faces": faces}


_WIDTHS = (4, 1, 10, 7, 128, 1)  # boxes, detection, landmarks, emotion, embedding, quality


def packed(pictures: Sequence[Faces | InputError]) -> tuple[list[dict[str, Any]], bytes]:
    """Return what `unpacked` takes: a description of each picture, and all faces' numbers."""
    about: list[dict[str, Any]] = []
    rows = []
    for faces in pictures:
        if isinstance(faces, InputError):
            about.append({"reason": faces.reason, "message": faces.message})
            continue
        about.append({"size": faces.size, "faces": len(faces)})
        found = faces.found
        columns = (found.boxes, found.detection, found.landmarks)
        values = (*columns, faces.emotion, faces.embedding, faces.quality)
        widths = zip(values, _WIDTHS, strict=True)
        rows.append(np.hstack([each.reshape(len(faces), width) for each, width in widths]))
    return about, np.concatenate(rows).astype(np.float32).tobytes() if rows else b""


def unpacked(about: Sequence[Mapping[str, Any]], numbers: bytes) -> list[Faces | InputError]:
    """Return the faces of each picture, or why it could not be used."""
    rows = np.frombuffer(numbers, np.float32).reshape(-1, sum(_WIDTHS))
    mine = iter(parts(rows, [each["faces"] for each in about if "faces" in each]))
    return [
        _unpacked(each["size"], next(mine))
        if "faces" in each
        else InputError(each["reason"], each["message"])
        for each in about
    ]


def _unpacked(size: Sequence[int], rows: Floats) -> Faces:
    ends = np.cumsum(_WIDTHS)[:-1]
    boxes, detection, landmarks, emotion, embedding, quality = np.split(rows, ends, axis=1)
    found = FoundFaces(boxes, detection[:, 0], landmarks.reshape(-1, 5, 2))
    return Faces((size[0], size[1]), found, emotion, embedding, quality[:, 0])

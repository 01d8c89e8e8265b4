"""`face` and `face_detect`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from emoserve_ensemble import face
from emoserve_ensemble.arrays import Floats, Pixels, Tensor
from emoserve_ensemble.detection import FoundFaces, find_faces
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.images import image_size
from emoserve_ensemble.steps._step import Step, padded, rows_of

PIXELS_AT_ONCE = 640 * 480  # docs/decisions.md 8
_HEADER_BYTES = 2**17  # a header that lies deeper is not worth a second search

_NO_BOXES, _NO_EMOTIONS = np.zeros((0, 4), np.float32), np.zeros((0, 7), np.float32)
_NO_EMBEDDINGS = np.zeros((0, 128), np.float32)


class Face(Step[bytes, face.Faces]):
    """Encoded pictures to emotions per face."""

    networks_needed = face.NETWORKS

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "image") or []]

    def share(self, member: bytes) -> float:
        """Count pixels: small pictures gain from a batch of 8, one of 640x480 nothing."""
        width, height = image_size(member[:_HEADER_BYTES]) or (0, 0)
        return width * height / PIXELS_AT_ONCE

    def predict(self, members: Sequence[bytes]) -> Sequence[face.Faces | InputError]:
        return self._counted(face.analyze_images(members, self.tools))

    def predict_portions(
        self, portions: Sequence[Sequence[bytes]]
    ) -> Iterator[Sequence[face.Faces | InputError]]:
        images = [image for portion in portions for image in portion]
        with self.tools.decoder.ahead(images, self.tools.limits) as decoded:
            for portion in portions:
                pixels = list(islice(decoded, len(portion)))
                yield self._counted(face.analyze_decoded(pixels, self.tools.networks))

    def _counted(
        self, answers: Sequence[face.Faces | InputError]
    ) -> Sequence[face.Faces | InputError]:
        seen = [item for item in answers if isinstance(item, face.Faces)]
        self.metrics.looked(len(seen), sum(map(len, seen)))
        return answers

    def encode(self, members: Sequence[face.Faces | InputError]) -> dict[str, Callable[[], Tensor]]:
        seen = [None if isinstance(item, InputError) else item for item in members]
        return {
            "answer": lambda: self.answer_tensor(members, face.Faces.to_json),
            "count": lambda: _counts([len(item) if item else 0 for item in seen]),
            "boxes": lambda: padded([item.found.boxes if item else _NO_BOXES for item in seen]),
            "emotion": lambda: padded([item.emotion if item else _NO_EMOTIONS for item in seen]),
            "embedding": lambda: padded(
                [item.embedding if item else _NO_EMBEDDINGS for item in seen]
            ),
        }


@dataclass(frozen=True)
class _Crops:
    found: FoundFaces
    tensor: Floats  # [faces, 1, 48, 48]


class FaceDetect(Step[bytes, _Crops]):
    """Encoded pictures to faces as the face network takes them."""

    networks_needed = ("face_pnet", "face_rnet", "face_onet")

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "image") or []]

    def predict(self, members: Sequence[bytes]) -> Sequence[_Crops | InputError]:
        with self.tools.decoder.ahead(members, self.tools.limits) as pictures:
            return [self._one(picture) for picture in pictures]

    def _one(self, picture: Pixels | InputError) -> _Crops | InputError:
        if isinstance(picture, InputError):
            return picture
        found = find_faces([picture], self.tools.networks)[0]
        return _Crops(found, face.face_tensor([picture], [found]))

    def encode(self, members: Sequence[_Crops | InputError]) -> dict[str, Callable[[], Tensor]]:
        nothing = np.zeros((0, 1, 48, 48), np.float32)
        seen = [None if isinstance(item, InputError) else item for item in members]
        return {
            "count": lambda: _counts([len(item.found) if item else -1 for item in seen]),
            "boxes": lambda: padded([item.found.boxes if item else _NO_BOXES for item in seen]),
            "detection": lambda: padded(
                [item.found.detection if item else np.zeros(0, np.float32) for item in seen]
            ),
            "faces": lambda: padded([item.tensor if item else nothing for item in seen]),
        }


def _counts(values: Sequence[int]) -> Tensor:
    return np.asarray(values, np.int32).reshape(-1, 1)

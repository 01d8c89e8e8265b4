"""`face_detect`: encoded pictures to faces as the face network takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels, Tensor
from emoserve_ensemble.detection import find_faces
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face import face_tensor
from emoserve_ensemble.faces import FoundFaces
from emoserve_ensemble.steps._step import Step, column_of_counts, padded, rows_of


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
        return _Crops(found, face_tensor([picture], [found]))

    def encode(self, members: Sequence[_Crops | InputError]) -> dict[str, Callable[[], Tensor]]:
        nothing = np.zeros((0, 1, 48, 48), np.float32)
        no_boxes = np.zeros((0, 4), np.float32)
        seen = [None if isinstance(item, InputError) else item for item in members]
        return {
            "count": lambda: column_of_counts([len(item.found) if item else -1 for item in seen]),
            "boxes": lambda: padded([item.found.boxes if item else no_boxes for item in seen]),
            "detection": lambda: padded(
                [item.found.detection if item else np.zeros(0, np.float32) for item in seen]
            ),
            "faces": lambda: padded([item.tensor if item else nothing for item in seen]),
        }

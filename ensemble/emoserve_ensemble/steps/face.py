"""`face`: encoded pictures to emotions per face."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.faces import NETWORKS, Faces
from emoserve_ensemble.images import image_size
from emoserve_ensemble.steps._pictures import PictureStep
from emoserve_ensemble.steps._step import column_of_counts, padded, rows_of

PIXELS_AT_ONCE = 2 * 640 * 480  # docs/decisions.md 8
_HEADER_BYTES = 2**17  # a header that lies deeper is not worth a second search

_NO_BOXES, _NO_EMOTIONS = np.zeros((0, 4), np.float32), np.zeros((0, 7), np.float32)
_NO_EMBEDDINGS = np.zeros((0, 128), np.float32)


class Face(PictureStep[bytes, Faces]):
    """Encoded pictures to emotions per face.

    With the networks in process, that is in processes of their own, one for each core, which
    decode as well: one instance of this step has hands for all of them.
    """

    networks_needed = NETWORKS

    def decode(self, request: Any) -> list[bytes]:
        return [row[0] for row in rows_of(request, "image") or []]

    def share(self, member: bytes) -> float:
        """Count pixels: small pictures gain from a batch of 12, those of 640x480 from one of 2."""
        width, height = image_size(member[:_HEADER_BYTES]) or (0, 0)
        return width * height / PIXELS_AT_ONCE

    def predict(self, members: Sequence[bytes]) -> Sequence[Faces | InputError]:
        answers = self._analyzed(members)
        seen = [item for item in answers if isinstance(item, Faces)]
        self.metrics.looked(len(seen), sum(map(len, seen)))
        return answers

    def _analyzed(self, members: Sequence[bytes]) -> Sequence[Faces | InputError]:
        if self.processes is None:
            from emoserve_ensemble.face import analyze_images  # OpenCV, only where it is needed

            return analyze_images(members, self.tools)
        return self.processes.analyze(members)

    def encode(self, members: Sequence[Faces | InputError]) -> dict[str, Callable[[], Tensor]]:
        seen = [None if isinstance(item, InputError) else item for item in members]
        return {
            "answer": lambda: self.answer_tensor(members, Faces.to_json),
            "count": lambda: column_of_counts([len(item) if item else 0 for item in seen]),
            "boxes": lambda: padded([item.found.boxes if item else _NO_BOXES for item in seen]),
            "emotion": lambda: padded([item.emotion if item else _NO_EMOTIONS for item in seen]),
            "embedding": lambda: padded(
                [item.embedding if item else _NO_EMBEDDINGS for item in seen]
            ),
        }

"""A network that sees few batch sizes, each by a session of its own.

ONNX Runtime's CUDA (1.20 and newer, with cuDNN 9) makes the plan of a convolution anew whenever its
input's shape changes, also back to one that it has seen: 35 ms for `speech_net` on an H200 with the
heuristic search, 200 ms with the exhaustive one, for a pass of 0.6 ms. A session that only ever
sees one shape makes its plans once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]  # tensor name -> numpy array [batch, ...]
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class SessionPerBatchSize:
    """Takes the place of an `onnxruntime.InferenceSession` whose inputs have a batch axis.

    Args:
        sessions: by batch size, in rising order; larger batches go to the last one as they are.

    Every session answers a batch of zeros before the first request, so that its plans are there.

    Raises:
        ValueError: an axis of an input, other than the batch, has no fixed size.
    """

    def __init__(self, sessions: Mapping[int, Any]) -> None:
        self._sizes, self._sessions = tuple(sessions), tuple(sessions.values())
        for size, session in sessions.items():
            session.run(None, _zeros(session, size))

    def run(self, wanted: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        """Return the outputs of the batch alone; rows of zeros that filled it up are cut off."""
        rows = len(next(iter(feeds.values())))
        place = min(bisect_left(self._sizes, rows), len(self._sizes) - 1)
        session, missing = self._sessions[place], self._sizes[place] - rows
        if missing <= 0:
            return list(session.run(wanted, feeds))
        filled = {name: _filled(array, missing) for name, array in feeds.items()}
        return [output[:rows] for output in session.run(wanted, filled)]

    def get_inputs(self) -> Sequence[Any]:
        return list(self._sessions[0].get_inputs())

    def get_outputs(self) -> Sequence[Any]:
        return list(self._sessions[0].get_outputs())

    def get_providers(self) -> list[str]:
        return list(self._sessions[0].get_providers())


def _filled(array: Any, missing: int) -> Any:
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def _zeros(session: Any, size: int) -> dict[str, Any]:
    zeros = {}
    for tensor in session.get_inputs():
        if not all(isinstance(axis, int) for axis in tensor.shape[1:]):
            raise ValueError(
                f"input '{tensor.name}' has shape {tensor.shape}; sessions for one batch size each "
                "need a fixed size on every axis but the first"
            )
        zeros[tensor.name] = np.zeros((size, *tensor.shape[1:]), _DTYPES[tensor.type])
    return zeros

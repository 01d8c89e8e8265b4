"""A network that sees few batch sizes, each by a session of its own, and replays its passes.

ONNX Runtime's CUDA (1.20 and newer, with cuDNN 9) makes the plan of a convolution anew whenever its
input's shape changes, also back to one that it has seen: 35 ms for `speech_net` on an H200 with the
heuristic search, 200 ms with the exhaustive one, for a pass of 0.6 ms. A session that only ever
sees one shape makes its plans once, and CUDA can replay what it launches as one graph.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

Arrays = Mapping[str, Any]  # tensor name -> numpy array [batch, ...]
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class FixedBatch:
    """A session for one batch size whose inputs and outputs stay at one place of a device.

    With the CUDA provider's option `enable_cuda_graph` the first pass is captured and every later
    one replays it: one launch for all kernels. ONNX Runtime asks for fixed places in return
    (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#enable_cuda_graph).

    Args:
        session: an `onnxruntime.InferenceSession`.
        size: of the batch axis of every input and output.
        device: ONNX Runtime's name of it and its number, as `("cuda", 0)`.

    Raises:
        ValueError: an axis other than the batch has no fixed size.
    """

    def __init__(self, session: Any, size: int, device: tuple[str, int]) -> None:
        self._session, self._binding = session, session.io_binding()
        self._inputs = _placed(session.get_inputs(), size, device)
        self._outputs = _placed(session.get_outputs(), size, device)
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, wanted: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        """Return copies of the outputs; `feeds` has exactly as many rows as the batch."""
        for name, value in self._inputs.items():
            value.update_inplace(np.ascontiguousarray(feeds[name]))
        self._session.run_with_iobinding(self._binding)
        return [np.array(self._outputs[name].numpy()) for name in wanted or self._outputs]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class SessionPerBatchSize:
    """Takes the place of an `onnxruntime.InferenceSession` whose inputs have a batch axis.

    Args:
        sessions: by batch size, in rising order, each a session or a `FixedBatch`; what is larger
            than the last goes in parts.

    Every session answers a batch of zeros before the first request, so that its plans are there.

    Raises:
        ValueError: an axis of an input, other than the batch, has no fixed size.
    """

    def __init__(self, sessions: Mapping[int, Any]) -> None:
        self._sizes, self._sessions = tuple(sessions), tuple(sessions.values())
        for size, session in sessions.items():
            session.run(None, _zeros(session.get_inputs(), size))

    def run(self, wanted: Sequence[str] | None, feeds: Arrays) -> list[Any]:
        """Return the outputs of the batch alone; rows of zeros that filled it up are cut off."""
        rows, largest = len(next(iter(feeds.values()))), self._sizes[-1]
        if rows > largest:
            parts = [
                self.run(
                    wanted, {name: array[begin : begin + largest] for name, array in feeds.items()}
                )
                for begin in range(0, rows, largest)
            ]
            return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
        place = bisect_left(self._sizes, rows)
        session, missing = self._sessions[place], self._sizes[place] - rows
        if not missing:
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


def _zeros(tensors: Sequence[Any], size: int) -> dict[str, Any]:
    zeros = {}
    for tensor in tensors:
        if not all(isinstance(axis, int) for axis in tensor.shape[1:]):
            raise ValueError(
                f"'{tensor.name}' has shape {tensor.shape}; sessions for one batch size each "
                "need a fixed size on every axis but the first"
            )
        zeros[tensor.name] = np.zeros((size, *tensor.shape[1:]), _DTYPES[tensor.type])
    return zeros


def _placed(tensors: Sequence[Any], size: int, device: tuple[str, int]) -> dict[str, Any]:
    zeros = _zeros(tensors, size)
    return {name: ort.OrtValue.ortvalue_from_numpy(array, *device) for name, array in zeros.items()}

"""A network in torch behind Triton's Python backend: where ONNX Runtime's CUDA cannot be brought.

Triton loads this through a two-line `model.py`; batches form in Triton as for any backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from emoserve_export.catalogue import CATALOGUE
from emoserve_gpu.raw import RawNetwork

_DECLARED = {network.name: network for network in CATALOGUE}


class TritonPythonModel:
    """One instance of one network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network of `args` onto the instance's device."""
        on_gpu = args["model_instance_kind"] == "GPU"
        device = f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu"
        network = _DECLARED[args["model_name"]]
        self._names = [tensor.name for tensor in network.inputs]
        self._network = RawNetwork(network, device)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response per request, all answered by one pass through the network."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
             for name in self._names}
            for request in requests
        ]  # fmt: skip
        sizes = [len(feed[self._names[0]]) for feed in feeds]
        try:
            answer = self._network.answer(
                {name: np.concatenate([feed[name] for feed in feeds]) for name in self._names}
            )
        except Exception as error:  # noqa: BLE001  the boundary to Triton
            failure = pb_utils.TritonError(str(error))
            return [pb_utils.InferenceResponse(error=failure) for _ in requests]
        ends = np.cumsum(sizes).tolist()
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.ascontiguousarray(array[end - size : end]))
                    for name, array in answer.items()
                    if name in request.requested_output_names()
                ]
            )
            for request, size, end in zip(requests, sizes, ends, strict=True)
        ]

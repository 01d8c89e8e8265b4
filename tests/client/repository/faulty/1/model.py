"""Waits `wait_s`, then answers with the error that `fault` names, or with `fault` itself.

`failures` names a file with the number of failures left; without it there is no end to them.
"""

import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

# By name: the module has no TritonError yet when Triton first imports this file.
CODES = {
    "invalid": ("INVALID_ARG", "[undecodable] image: not a picture"),
    "internal": ("INTERNAL", "the network fell over"),
    "unavailable": ("UNAVAILABLE", "the queue is full"),
    "cancelled": ("CANCELLED", "the server is going away"),
    "unknown": ("UNKNOWN", "nobody knows"),
    "not_found": ("NOT_FOUND", "no such thing"),
    "unsupported": ("UNSUPPORTED", "cannot do that"),
    "already_exists": ("ALREADY_EXISTS", "it is there already"),
}


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        fault = pb_utils.get_input_tensor_by_name(request, "fault").as_numpy()[0].decode()
        wait = pb_utils.get_input_tensor_by_name(request, "wait_s")
        if wait is not None:
            time.sleep(float(wait.as_numpy()[0]))
        if fault in CODES and self.fails(request):
            code, message = CODES[fault]
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(message, getattr(pb_utils.TritonError, code))
            )
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("answer", np.array([fault.encode()], dtype=object))]
        )

    def fails(self, request):
        failures = pb_utils.get_input_tensor_by_name(request, "failures")
        if failures is None:
            return True
        path = Path(failures.as_numpy()[0].decode())
        left = int(path.read_text())
        path.write_text(str(left - 1))
        return left > 0

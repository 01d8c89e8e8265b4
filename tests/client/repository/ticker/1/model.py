"""Streams ticks, and writes to `cancelled_file` how many it had sent when the caller went away."""

import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()[0]


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            self.stream(request, request.get_response_sender())

    def stream(self, request, sender):
        for tick in range(int(value(request, "count"))):
            time.sleep(float(value(request, "wait_s")))
            if request.is_cancelled():
                self.note(request, tick)
                break
            tensor = pb_utils.Tensor("tick", np.array([tick], dtype=np.int32))
            sender.send(pb_utils.InferenceResponse([tensor]))
        fault = value(request, "fault")
        if fault is not None:
            error = pb_utils.TritonError(fault.decode(), pb_utils.TritonError.INTERNAL)
            sender.send(pb_utils.InferenceResponse(error=error))
        sender.send(flags=FINAL)

    def note(self, request, tick):
        path = value(request, "cancelled_file")
        if path is not None:
            half = Path(path.decode() + ".half")
            half.write_text(str(tick))
            half.rename(path.decode())

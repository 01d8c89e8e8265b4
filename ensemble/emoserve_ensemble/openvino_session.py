"""A network in OpenVINO on the CPU; importable only where OpenVINO is installed."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
from openvino import opset13 as operators

from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.runtimes import Runtime

_OF_GEMM: Final = "/WithoutBiases"  # what OpenVINO adds to the name of a Gemm's product


class OpenVino:
    """A loaded network; threads may call it at the same time."""

    def __init__(self, graph: Path | bytes, runtime: Runtime, threads: int) -> None:
        core = openvino.Core()
        model = core.read_model(graph)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if runtime.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Each process would pin its threads to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if runtime.group:
            _weights_to_int8(model, runtime.kept)
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = runtime.group
        if runtime.single:
            first = {
                each: openvino.PartialShape([1, *list(each.partial_shape)[1:]])
                for each in model.inputs
            }
            model.reshape(first)
        self._single, self._multiple = runtime.single, runtime.multiple
        self._network = core.compile_model(model, "CPU", options)
        self._names = [output.any_name for output in self._network.outputs]
        self._requests = threading.local()

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        request = getattr(self._requests, "one", None)
        if request is None:
            request = self._requests.one = self._network.create_infer_request()
        items = len(next(iter(inputs.values())))
        if not self._single or items == 1:
            return self._answer(request, inputs)
        answers = [
            self._answer(request, {name: array[at : at + 1] for name, array in inputs.items()})
            for at in range(items)
        ]
        return {name: np.concatenate([each[name] for each in answers]) for name in self._names}

    def _answer(self, request: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = request.infer(
            {name: self._filled(array) for name, array in inputs.items()}, share_inputs=True
        )
        return {name: outputs[index] for index, name in enumerate(self._names)}

    def _filled(self, array: Tensor) -> Tensor:
        missing = -array.shape[1] % self._multiple if array.ndim > 1 else 0
        if not missing:
            return array
        return np.pad(array, [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)])


def _weights_to_int8(model: openvino.Model, kept: tuple[str, ...]) -> None:
    """Make the weights of matrix products INT8 with a scale for each column."""
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        weights = node.input_value(1).get_node()
        name = node.get_friendly_name().removesuffix(_OF_GEMM)
        if weights.get_type_name() != "Constant" or name in kept:
            continue
        values = weights.get_data()  # [inputs, outputs], or transposed
        axis = 1 if node.get_attributes()["transpose_b"] else 0
        scale = np.abs(values).max(axis=axis, keepdims=True) / 127
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        rounded = np.round(values / scale).astype(np.int8)
        whole = operators.convert(operators.constant(rounded, openvino.Type.i8), "f32")
        scaled = operators.multiply(whole, operators.constant(scale))
        node.input(1).replace_source_output(scaled.output(0))

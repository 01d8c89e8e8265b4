"""An engine's answers, to compare them with the trained network's."""

from contextlib import ExitStack
from typing import Any

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.engines.cuda import Cuda, DeviceArray
from emoserve_export.engines.names import tensorrt
from emoserve_export.errors import GraphError

Arrays = dict[str, Array]


def run_engine(name: str, plan: bytes, inputs: Arrays, cuda: Cuda) -> Arrays:
    """Return an engine's outputs by name.

    Raises:
        UnavailableError: TensorRT or a GPU is not here.
        GraphError: the engine was made for another GPU or TensorRT, or refuses the shapes.
    """
    trt = tensorrt()
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise GraphError(f"{name}: the engine does not load on this GPU with this TensorRT")
    context = engine.create_execution_context()
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    given = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
    for tensor in given:
        if not context.set_input_shape(tensor, inputs[tensor].shape):
            raise GraphError(f"{name}: {tensor} may not have the shape {inputs[tensor].shape}")
    with ExitStack() as stack:
        arrays = {n: stack.enter_context(_array(trt, cuda, engine, context, n)) for n in names}
        for tensor in given:
            arrays[tensor].put(inputs[tensor])
        for tensor, array in arrays.items():
            context.set_tensor_address(tensor, array.pointer)
        if not context.execute_async_v3(0):  # CUDA's default stream
            raise GraphError(f"{name}: the engine failed on this input")
        cuda.synchronize()
        return {n: array.get() for n, array in arrays.items() if n not in given}


def _array(trt: Any, cuda: Cuda, engine: Any, context: Any, name: str) -> DeviceArray:
    dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
    return DeviceArray(cuda, tuple(context.get_tensor_shape(name)), dtype)

"""The same network in fewer bits: float16, and INT8 in the two ways ONNX Runtime runs fast.

fp16           weights and inner values in half precision; inputs and outputs stay float32
int8_dynamic   weights in INT8, activations measured at run time: for matrix products.
               Convolutional networks get slower by it (0.1 to 0.3 x: docs/decisions.md)
int8_static    weights and activations in INT8 by ranges seen on real data (QDQ): for
               convolutions
bf16           ONNX Runtime has no bf16 kernels for x86-64 CPUs; TensorRT does (engines.py)
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from emoserve_export import graph
from emoserve_export.declaration import Arrays, Kind, Network, Precision
from emoserve_export.errors import UnavailableError
from emoserve_export.samples import batches

CALIBRATION_BATCH = 8
# Quantising what lies between convolutions (Add, Relu) saves conversions; quantising Softmax,
# AveragePool or Mul costs more time and accuracy than it brings (measured, docs/decisions.md).
_CONVOLUTIONS = ["Conv", "Gemm", "MatMul", "Add", "Relu"]
_PRODUCTS = ["MatMul", "Gemm"]
STATIC_OPERATORS: dict[Kind, list[str]] = {
    "convolutional": _CONVOLUTIONS,
    "recurrent": _CONVOLUTIONS,
    "transformer": _PRODUCTS,
    "dense": _PRODUCTS,
}


def in_precision(
    network: Network,
    model: ModelProto,
    precision: Precision,
    calibration: Arrays | None = None,
) -> ModelProto:
    """Return a copy of a float32 graph in another precision, checked, its tensors as declared.

    Args:
        calibration: real inputs by name, for `int8_static`.

    Raises:
        UnavailableError: `int8_static` without calibration data.
        GraphError: the result is not a valid graph.
    """
    if precision == "fp32":
        return model
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantiser warns of names it makes itself
        source = Path(folder) / "fp32.onnx"
        bare = ModelProto.FromString(model.SerializeToString())
        # Stale shapes make the quantiser fail («Inferred shape and existing shape differ»).
        del bare.graph.value_info[:]
        onnx.save(bare, source)
        if precision == "fp16":
            made = _half(bare)
        elif precision == "int8_dynamic":
            made = _dynamic(source)
        else:
            made = _static(network, source, calibration)
    return graph.finished(network, made)


def _half(model: ModelProto) -> ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made: ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return made


def _dynamic(source: Path) -> ModelProto:
    target = source.with_name("int8.onnx")
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=_PRODUCTS,
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(target)


def _static(network: Network, source: Path, calibration: Arrays | None) -> ModelProto:
    if calibration is None:
        raise UnavailableError(
            f"{network.name}: int8_static needs real data to measure ranges on: give --samples"
        )
    prepared, target = source.with_name("prepared.onnx"), source.with_name("int8.onnx")
    # Symbolic inference gives up on dynamic token axes; plain inference is enough for QDQ.
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        _Batches(batches(calibration, CALIBRATION_BATCH)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=STATIC_OPERATORS[network.kind],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(target)


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """ONNX Runtime's way to read calibration data."""

    def __init__(self, given: Sequence[Arrays]) -> None:
        self._left: Iterator[Arrays] = iter(given)

    def get_next(self) -> Arrays | None:
        return next(self._left, None)

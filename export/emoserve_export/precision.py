"""The same network in fewer bits: float16, and INT8 in the two ways ONNX Runtime runs fast.

fp16           weights and inner values in half precision; inputs and outputs stay float32
int8_dynamic   weights in INT8, activations too, by a scale for each row that is measured at run
               time: for matrix products (`row_scales`). Convolutions are left out: networks of
               them get slower by it (0.1 to 0.3 x)
int8_static    weights and activations in INT8 by ranges seen on real data (QDQ): for
               convolutions
openvino_bf16  the float32 graph, computed by OpenVINO in bfloat16 where the processor has it; ONNX
               Runtime has no bf16 kernels for x86-64 CPUs
openvino_int8  of a transformer the float32 graph, whose matrix products OpenVINO computes in INT8:
               each group of activations has a scale of its own, so one outlier does not coarsen
               the rest; of other networks the graph of int8_static
"""

import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import onnx
from onnx import GraphProto, ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from emoserve_ensemble.runtimes import Runtime
from emoserve_export import graph, row_scales
from emoserve_export.declaration import Arrays, Network, Precision
from emoserve_export.errors import UnavailableError
from emoserve_export.samples import batches
from emoserve_export.sessions import Variant

CALIBRATION_BATCH = 8
GROUP = 128  # activations that share a scale in openvino_int8 (docs/decisions.md 15)
MULTIPLE = 8  # of a masked axis, in OpenVINO
MOST_RANGED = 256  # items on which ranges are measured
WEIGHTED = ("Conv", "Gemm", "MatMul")
# Between convolutions, Add and Relu are quantised too: it saves conversions. Softmax, AveragePool
# and Mul are not: they cost more time and accuracy than they bring (docs/decisions.md).
BETWEEN = ("Add", "Relu")


def half(network: Network, model: ModelProto) -> ModelProto:
    """Return a copy in float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        made = convert_float_to_float16(_bare(model), keep_io_types=True)
    graph.sort_nodes(made)  # the converter puts its casts at the end
    return graph.finished(network, made)


def openvino(
    network: Network, precision: str, group: int = 0, kept: tuple[str, ...] = ()
) -> Runtime:
    """Return how OpenVINO runs a network."""
    # Filled up, the longest input must still be one that the network takes.
    fits = all(tensor.axes[1].high % MULTIPLE == 0 for tensor in network.inputs if network.masked)
    multiple = MULTIPLE if network.masked and fits else 1
    # Of matrix products, batches gain more.
    single = network.one_shape and network.kind == "convolutional"
    return Runtime("openvino", precision, group, kept, multiple, single)


def require_openvino() -> None:
    """Raise UnavailableError where OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise UnavailableError("OpenVINO is not installed: pip install 'emoserve[openvino]'")


class Quantiser:
    """Makes INT8 variants of one graph; a `with` block, for its work lies in a folder.

    Attributes:
        nodes: those with weights of their own, in the order of the graph.
        heads: those of them that give the labelled outputs; none where there are no others.

    Raises:
        UnavailableError: `int8_static` without calibration data.
    """

    def __init__(
        self, network: Network, model: ModelProto, precision: Precision, calibration: Arrays | None
    ) -> None:
        self._ranged = precision == "int8_static" or (
            precision == "openvino_int8" and network.kind != "transformer"
        )
        if self._ranged and calibration is None:
            raise UnavailableError(
                f"{network.name}: {precision} needs real data to measure ranges on: give "
                "--samples, or choose another --precision"
            )
        self._network, self._model, self._precision = network, model, precision
        self._calibration = calibration
        self._reached: Arrays | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._source = Path(self._folder.name) / "source.onnx"

    def __enter__(self) -> "Quantiser":
        inner, found = self._model.graph, row_scales.products(self._model)
        if self._ranged:
            inner = self._prepared()
            weights = {tensor.name for tensor in inner.initializer}
            found = [n for n in inner.node if n.op_type in WEIGHTED and weights & set(n.input)]
            self._first = graph.without_before(inner, found)
        self.nodes = [node.name for node in found]
        heads = graph.last_before(inner, self._network.labels, self.nodes)
        self.heads = sorted(heads) if len(heads) < len(self.nodes) else []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def quantised(self, excluded: Sequence[str] = (), items: int | None = None) -> Variant:
        """Return the graph in INT8, but for the nodes named.

        Args:
            items: how many calibration items to use; None for `MOST_RANGED`.

        Raises:
            GraphError: the result is not a valid graph.
        """
        kept, in_openvino = tuple(excluded), self._precision == "openvino_int8"
        if in_openvino and not self._ranged:
            runtime = openvino(self._network, "bf16", GROUP, kept)
            return Variant(self._model, kept, runtime)
        with _quiet():
            made = self._static(excluded, items) if self._ranged else self._dynamic(excluded)
        runtime = openvino(self._network, "fp32") if in_openvino else Runtime()
        return Variant(graph.finished(self._network, made), kept, runtime)

    def _prepared(self) -> GraphProto:
        """Return the graph as the quantiser wants it, and keep its file."""
        bare, self._source = self._source, self._source.with_name("prepared.onnx")
        with _quiet():
            onnx.save(_bare(self._model), bare)
            # Symbolic inference gives up on dynamic token axes; the plain one is enough.
            quant_pre_process(bare, self._source, skip_symbolic_shape=True)
        prepared: ModelProto = onnx.load(self._source)
        return prepared.graph

    def _dynamic(self, excluded: Sequence[str]) -> ModelProto:
        if self._reached is None:
            given = self._calibration or self._network.sample(CALIBRATION_BATCH, seed=0)
            few = {name: array[:MOST_RANGED] for name, array in given.items()}
            self._reached = row_scales.reach(self._model, batches(few, CALIBRATION_BATCH))
        return row_scales.in_int8(self._model, self._reached, excluded)

    def _static(self, excluded: Sequence[str], items: int | None) -> ModelProto:
        target = self._source.with_name("int8.onnx")
        between = () if self._network.kind == "transformer" else BETWEEN
        most = items or MOST_RANGED
        given = {name: array[:most] for name, array in (self._calibration or {}).items()}
        quantize_static(
            self._source,
            target,
            _Batches(batches(given, CALIBRATION_BATCH)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*WEIGHTED, *between],
            nodes_to_exclude=[*excluded, *self._first],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Ranges are the mean over batches of their extremes: one item's do not coarsen all
            # (docs/decisions.md 15).
            extra_options={"CalibMovingAverage": True},
        )
        made: ModelProto = onnx.load(target)
        return made


def _bare(model: ModelProto) -> ModelProto:
    """Return a copy without inferred shapes.

    Stale ones make the quantiser fail («Inferred shape and existing shape differ»).
    """
    copy: ModelProto = ModelProto.FromString(model.SerializeToString())
    del copy.graph.value_info[:]
    return copy


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice and warnings, which speak of its own work, out of the way."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """ONNX Runtime's way to read calibration data."""

    def __init__(self, given: Sequence[Arrays]) -> None:
        self._left: Iterator[Arrays] = iter(given)

    def get_next(self) -> Arrays | None:
        return next(self._left, None)

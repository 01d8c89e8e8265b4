"""Silero's voice network, written for a CPU (docs/decisions.md 16).

It is short convolutions over at most five positions of a window, and an LSTM. ONNX Runtime computes
a convolution item by item, here as products with matrices of so few columns. They are linear maps
of a whole window: written so, one product takes all windows at once, and none is multiplied with
what it does not reach. The first is a Fourier transform of 256 samples, of which half the products
are saved by Cooley's and Tukey's first step, decimation in frequency.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from emoserve_ensemble.arrays import Floats
from emoserve_export.errors import GraphError

_SAMPLES: Final = 256  # of a transform
_HOP: Final = 128  # half of it: so blocks of a hop are the halves of all transforms
_POSITIONS: Final = 4
_BINS: Final = _SAMPLES // 2 + 1
_BINS_IN_ORDER: Final = np.r_[0:_BINS:2, 1:_BINS:2]  # as `_spectrum` gives them
_NOT_A_TRANSFORM: Final = 1e-5

_SHAPES: Final = {
    "stft.forward_basis_buffer": (2 * _BINS, 1, _SAMPLES),
    "encoder.0.weight": (128, _BINS, 3),
    "encoder.1.weight": (64, 128, 3),
    "encoder.2.weight": (64, 64, 3),
    "encoder.3.weight": (128, 64, 3),
    "output.weight": (1, 128, 1),
}


def written_for_cpu(model: ModelProto) -> None:
    """Replace Silero's graph by one that computes the same, in place.

    Args:
        model: of 16 000 Hz, as the `silero-vad` package has it, its input named `windows`.

    Raises:
        GraphError: it is another network.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shapes = {name: weights[name].shape for name in _SHAPES if name in weights}
    if shapes != _SHAPES:
        raise GraphError(f"the weights are {shapes}; Silero's are {_SHAPES}")
    graph = _Graph()
    maps = _encoded(graph, _spectrum(graph, weights["stft.forward_basis_buffer"]), weights)
    _voice(graph, maps, weights, next(node for node in model.graph.node if node.op_type == "LSTM"))
    for field, made in (("node", graph.nodes), ("initializer", graph.constants)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(made)


def _spectrum(graph: "_Graph", basis: Floats) -> str:
    """Return [windows, 4 * 129], the magnitudes of `_BINS_IN_ORDER` at each position.

    Bin 2 k is bin k of the transform of half the length of `a + b`, where a and b are the halves of
    the weighted samples; odd bins come from `a - b`.
    """
    shape = basis[0, 0].astype(np.float64)  # bin 0 is the sum of the weighted samples
    angle = 2 * np.pi / _SAMPLES * np.outer(np.arange(_SAMPLES), np.arange(_BINS))
    real, imaginary = np.cos(angle), -np.sin(angle)
    wanted = np.concatenate([shape[:, None] * real, shape[:, None] * imaginary], axis=1)
    if np.abs(wanted - basis[:, 0].T).max() > _NOT_A_TRANSFORM:
        raise GraphError("the first convolution is not a short-time Fourier transform")
    reflected = graph.add("Pad", "windows", graph.constant([0, 0, 0, 64]), mode="reflect")
    blocks = graph.add("Reshape", reflected, graph.constant([0, _POSITIONS + 1, _HOP]))
    halves = [
        graph.add("Mul", graph.cut(blocks, at, at + _POSITIONS), graph.constant(part))
        for at, part in enumerate(np.split(shape, 2))
    ]
    squares = []
    for first, kind in enumerate(("Add", "Sub")):
        mixed = graph.add(kind, *halves)  # [windows, 4, 128]
        parts = [
            graph.add("MatMul", mixed, graph.constant(wave[:_HOP, first::2]))
            for wave in (real, imaginary)
        ]
        squares.append(graph.add("Add", *(graph.add("Mul", part, part) for part in parts)))
    power = graph.add("Concat", *squares, axis=2)
    magnitude = graph.add("Sqrt", power)
    return graph.add("Reshape", magnitude, graph.constant([0, _POSITIONS * _BINS]))


def _encoded(graph: "_Graph", spectrum: str, weights: dict[str, Any]) -> str:
    """Return [windows, 128] of the four convolutions, each of three positions and a ReLU.

    The first gives positions 0 and 1, which reach as far as 2, apart from 2 and 3, which reach back
    to 1; the second adds what comes of both.
    """
    kernels = [weights[f"encoder.{layer}.weight"] for layer in range(4)]
    biases = [weights[f"encoder.{layer}.bias"] for layer in range(4)]
    first = kernels[0][:, _BINS_IN_ORDER]
    value = graph.constant(np.tile(biases[1], 2))
    for reads, gives in ((range(3), range(2)), (range(1, 4), range(2, 4))):
        read = graph.cut(spectrum, reads.start * _BINS, reads.stop * _BINS)
        side = graph.dense(read, _map(first, reads, gives), np.tile(biases[0], 2))
        matrix = graph.constant(_map(kernels[1], gives, range(2), 2))
        value = graph.add("Gemm", graph.add("Relu", side), matrix, value)
    value = graph.add("Relu", value)
    value = graph.dense(value, _map(kernels[2], range(2), range(1), 2), biases[2])
    value = graph.dense(graph.add("Relu", value), _map(kernels[3], range(1), range(1)), biases[3])
    return graph.add("Relu", value)


def _voice(graph: "_Graph", maps: str, weights: dict[str, Any], lstm: NodeProto) -> None:
    """Add what gives `speech`, [windows], and the state that the next windows need."""
    steps = graph.add("Unsqueeze", maps, graph.constant([1]))
    own = [graph.constant(weights[name]) for name in lstm.input[1:4]]
    size = weights["output.weight"].shape[1]
    hidden, state = lstm.output[1:]
    seen = graph.add("LSTM", steps, *own, "", "h", "c", more=(hidden, state), hidden_size=size)
    seen = graph.add("Relu", graph.add("Reshape", seen, graph.constant([-1, size])))
    voice = graph.dense(seen, weights["output.weight"][0], weights["output.bias"])
    voice = graph.add("Sigmoid", voice)
    graph.add("Reshape", voice, graph.constant([-1]), output="speech")


def _map(kernel: Floats, reads: Sequence[int], gives: Sequence[int], stride: int = 1) -> Floats:
    """Return a convolution of three positions as the matrix that takes some to some.

    Args:
        kernel: float32 [outputs, channels, 3].
        reads, gives: positions of its input and of its result; what lies outside counts nothing.

    Returns:
        float32 [reads * channels, gives * outputs].
    """
    outputs, channels, taps = kernel.shape
    matrix = np.zeros((len(reads), channels, len(gives), outputs), np.float32)
    for column, position in enumerate(gives):
        for tap in range(taps):
            read = position * stride + tap - 1
            if read in reads:
                matrix[reads.index(read), :, column] = kernel[:, :, tap].T
    return matrix.reshape(len(reads) * channels, -1)


class _Graph:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(
        self, kind: str, *inputs: str, output: str = "", more: Sequence[str] = (), **given: Any
    ) -> str:
        """Add a node; return the name of its first output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name, *more], name, **given))
        return name

    def constant(self, value: npt.ArrayLike) -> str:
        """Add a constant, whole numbers as int64, else float32."""
        array = np.asarray(value)
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, kind), name))
        return name

    def cut(self, value: str, start: int, end: int) -> str:
        """Add what takes a part of the second axis."""
        return self.add("Slice", value, *(self.constant([n]) for n in (start, end, 1)))

    def dense(self, value: str, matrix: Floats, bias: Floats) -> str:
        return self.add("Gemm", value, self.constant(matrix), self.constant(bias))

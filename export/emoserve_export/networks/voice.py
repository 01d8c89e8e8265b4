"""Silero's voice network, written for a CPU: its short convolutions as matrix products.

They run over at most six positions of a window. ONNX Runtime computes a convolution item by item,
here as products with matrices of so few columns; written as what they are, linear maps, one product
takes all windows at once (docs/decisions.md 16).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from emoserve_ensemble.arrays import Tensor
from emoserve_export.declaration import Arrays

MOST_POSITIONS: Final = 8
"""Convolutions that give more stay as they are: they have enough to slide over."""
_EXAMPLE_WINDOWS: Final = 16


def convolutions_as_products(model: ModelProto) -> None:
    """Replace the graph's short convolutions over one axis by `MatMul` and `Gemm`, in place."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if _is_over_one_axis(node, weights)]
    lengths = _lengths(model, [node.input[0] for node in found])
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if _is_over_one_axis(node, weights):
            made, constants = _Product(node, weights, lengths[node.input[0]]).made()
            nodes += made
            model.graph.initializer.extend(constants)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _is_over_one_axis(node: NodeProto, weights: Mapping[str, Tensor]) -> bool:
    return node.op_type == "Conv" and weights[node.input[1]].ndim == 3


def _lengths(model: ModelProto, names: Sequence[str]) -> dict[str, int]:
    """Return the last axis of inner values as they occur; ONNX cannot infer it past the padding."""
    copy = ModelProto.FromString(model.SerializeToString())
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    given: Arrays = {}
    for put in session.get_inputs():
        shape = [size if isinstance(size, int) else _EXAMPLE_WINDOWS for size in put.shape]
        given[put.name] = np.zeros(shape, np.float32)
    values = session.run(list(names), given)
    return {name: value.shape[-1] for name, value in zip(names, values, strict=True)}


class _Product:
    """One convolution over [items, channels, length], as nodes that compute the same.

    Attributes:
        kernel: float32 [outputs, channels, width].
        positions: of the result.
    """

    def __init__(self, node: NodeProto, weights: Mapping[str, Tensor], length: int) -> None:
        self._node, self._length = node, length
        self.kernel = weights[node.input[1]]
        self._bias = weights[node.input[2]] if len(node.input) > 2 else None
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._plain = given.get("dilations", [1]) == [1] and given.get("group", 1) == 1
        self._stride = given.get("strides", [1])[0]
        self._before, after = given.get("pads", [0, 0])
        padded = length + self._before + after
        self.positions = (padded - self.kernel.shape[-1]) // self._stride + 1
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def made(self) -> tuple[list[NodeProto], list[TensorProto]]:
        """Return the nodes and their constants: the node itself where that is the better way."""
        if self._plain and self.positions <= MOST_POSITIONS:
            channels, width = self.kernel.shape[1:]
            if channels == 1 and not self._before and width % self._stride == 0:
                self._framed(width // self._stride)
            elif self._length <= 2 * width:
                self._dense()
        return self._nodes or [self._node], self._constants

    def _framed(self, overlap: int) -> None:
        """Cut one channel into frames of `overlap` strides each; one product of all frames."""
        blocks, stride = self.positions - 1 + overlap, self._stride
        used = self._slice(self._node.input[0], 0, blocks * stride, 2)
        cut = self._add("Reshape", used, self._constant([0, blocks, stride]))
        parts = [self._slice(cut, at, at + self.positions, 1) for at in range(overlap)]
        frames = self._add("Concat", *parts, axis=2)  # [items, positions, width]
        product = self._add("MatMul", frames, self._constant(self.kernel[:, 0].T))
        if self._bias is not None:
            product = self._add("Add", product, self._constant(self._bias))
        self._add("Transpose", product, perm=[0, 2, 1], output=self._node.output[0])

    def _dense(self) -> None:
        """One product of channels and positions together; what a kernel does not reach is 0."""
        outputs, channels, width = self.kernel.shape
        dense = np.zeros((channels, self._length, outputs, self.positions), np.float32)
        for position in range(self.positions):
            for tap in range(width):
                read = position * self._stride + tap - self._before
                if 0 <= read < self._length:
                    dense[:, read, :, position] = self.kernel[:, :, tap].T
        flat = self._constant([0, channels * self._length])
        row = self._add("Reshape", self._node.input[0], flat)
        matrix = self._constant(dense.reshape(channels * self._length, -1))
        bias = () if self._bias is None else (np.repeat(self._bias, self.positions),)
        product = self._add("Gemm", row, matrix, *map(self._constant, bias))
        shape = self._constant([0, outputs, self.positions])
        self._add("Reshape", product, shape, output=self._node.output[0])

    def _slice(self, value: str, start: int, end: int, axis: int) -> str:
        return self._add("Slice", value, *(self._constant([n]) for n in (start, end, axis)))

    def _add(self, kind: str, *inputs: str, output: str = "", **given: Any) -> str:
        name = f"{self._node.name}/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output or name], name, **given))
        return output or name

    def _constant(self, value: Tensor | list[int]) -> str:
        name = f"{self._node.name}/constant_{len(self._constants)}"
        array = np.ascontiguousarray(value, None if isinstance(value, np.ndarray) else np.int64)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

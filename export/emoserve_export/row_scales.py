"""Matrix products in INT8 whose rows (tokens) each have a scale of their own, measured at run time.

One scale for all rows, as ONNX Runtime's `quantize_dynamic` has it, lets one outlier coarsen every
other item of the batch, and an item's answer depend on its neighbours. A few channels hold most of
the outliers of a transformer, at all times the same: they are divided by what they reach, and the
rows of the weights multiplied by it (SmoothQuant, arXiv 2211.10438, with its strength of 0.5).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from emoserve_ensemble.arrays import Floats
from emoserve_export.declaration import Arrays
from emoserve_export.sessions import open_session

_DOMAIN: Final = "com.microsoft"  # of MatMulIntegerToFloat
_AXES_AS_INPUT: Final = 18  # opset since which ReduceMax takes its axes so
_LARGEST: Final = 127
_LEAST: Final = 1e-9  # a row of zeros has a scale too
_LEAST_REACH: Final = 1e-5  # of a channel, in relation to the largest


def products(model: ModelProto) -> list[NodeProto]:
    """Return the products of a tensor with a matrix of weights."""
    matrices = {t.name for t in model.graph.initializer if len(t.dims) == 2}
    return [
        node
        for node in model.graph.node
        if (node.op_type == "MatMul" or (node.op_type == "Gemm" and _is_plain(node)))
        and node.input[1] in matrices
        and node.input[0] not in matrices
    ]


def _is_plain(gemm: NodeProto) -> bool:
    given = _attributes(gemm)
    return not given.get("transA") and given.get("alpha", 1) == given.get("beta", 1) == 1


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def reach(model: ModelProto, pieces: Iterable[Arrays]) -> dict[str, Floats]:
    """Return what each product's input reaches: name to float32 [channels], largest magnitudes."""
    names = list(dict.fromkeys(node.input[0] for node in products(model)))
    opened = ModelProto.FromString(model.SerializeToString())
    own = {value.name for value in opened.graph.output}
    opened.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in own
    )
    session = open_session(opened)
    most: dict[str, Floats] = {}
    for inputs in pieces:
        answer = session.run(inputs)
        for name in names:
            value = np.abs(answer[name]).reshape(-1, answer[name].shape[-1]).max(axis=0)
            most[name] = np.maximum(most.get(name, 0), value)
    return most


def in_int8(model: ModelProto, reached: dict[str, Floats], kept: Sequence[str]) -> ModelProto:
    """Return a copy whose products are computed in INT8, but for the nodes named.

    Args:
        reached: from `reach`, of the same graph.
    """
    made: ModelProto = ModelProto.FromString(model.SerializeToString())
    chosen = [node for node in products(made) if node.name not in kept]
    if not chosen:
        return made
    by_input: dict[str, list[NodeProto]] = {}
    for node in chosen:
        by_input.setdefault(node.input[0], []).append(node)
    graph = _Graph(made)
    names = {node.name for node in chosen}
    for node in list(made.graph.node):
        if node.name not in names:
            graph.nodes.append(node)
            continue
        together = by_input[node.input[0]]
        if node.name == together[0].name:
            graph.quantise(node.input[0], reached[node.input[0]], together)
        graph.multiply(node)
    graph.finish()
    return made


class _Graph:
    """The nodes of a graph as they are replaced."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._weights = {t.name: t for t in model.graph.initializer}
        self._smooth: dict[str, Floats] = {}
        self.nodes: list[NodeProto] = []
        self._one = self._constant("int8.one", np.float32(1))
        self._zero = self._constant("int8.zero", np.uint8(_LARGEST + 1))
        self._step = self._constant("int8.step", np.float32(1 / _LARGEST))
        self._least = self._constant("int8.least", np.float32(_LEAST))
        opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self._axes_are_input = opset >= _AXES_AS_INPUT

    def quantise(self, value: str, reached: Floats, readers: Sequence[NodeProto]) -> None:
        """Add what gives `<value>.int8` and `<value>.scale`, [..., 1], for all that read it."""
        weights = np.max([np.abs(self._matrix(node)).max(axis=1) for node in readers], axis=0)
        smooth = np.sqrt(_apart_from_zero(reached) / _apart_from_zero(weights))
        smooth = (smooth / np.exp(np.log(smooth).mean())).astype(np.float32)
        self._smooth[value] = smooth
        even = self._add("Mul", value, self._constant(f"{value}.even", 1 / smooth))
        largest = self._add("Max", self._largest_of_row(self._add("Abs", even)), self._least)
        scale = self._add("Mul", largest, self._step, output=f"{value}.scale")
        steps = self._add("Div", even, scale)
        self._add("QuantizeLinear", steps, self._one, self._zero, output=f"{value}.int8")

    def multiply(self, node: NodeProto) -> None:
        """Add a product in INT8 in the place of one in float32."""
        value, name = node.input[0], node.input[1]
        matrix = self._matrix(node) * self._smooth[value][:, np.newaxis]
        scales = np.maximum(np.abs(matrix).max(axis=0), _LEAST).astype(np.float32) / _LARGEST
        whole = np.clip(np.rint(matrix / scales), -_LARGEST, _LARGEST).astype(np.int8)
        # Weights that two nodes share are divided differently where their inputs differ.
        own = f"{name}.for.{node.name}"
        integers, columns = self._constant(own, whole), self._constant(f"{own}.scales", scales)
        product = self._add(
            "MatMulIntegerToFloat",
            *(f"{value}.int8", integers, self._one, columns, self._zero),
            domain=_DOMAIN,
        )
        bias = node.input[2] if len(node.input) > 2 else ""
        out = node.output[0]
        scaled = self._add("Mul", product, f"{value}.scale", output="" if bias else out)
        if bias:
            self._add("Add", scaled, bias, output=out)

    def finish(self) -> None:
        """Put the nodes into the model, and away what nobody reads any more."""
        graph = self._model.graph
        del graph.node[:]
        graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        left = [tensor for tensor in self._weights.values() if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(left)
        del graph.value_info[:]
        if _DOMAIN not in {each.domain for each in self._model.opset_import}:
            self._model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))

    def _largest_of_row(self, value: str) -> str:
        if self._axes_are_input:
            return self._add(
                "ReduceMax", value, self._constant("int8.last", np.asarray([-1], np.int64))
            )
        return self._add("ReduceMax", value, axes=[-1])

    def _matrix(self, node: NodeProto) -> Floats:
        matrix = numpy_helper.to_array(self._weights[node.input[1]])
        return matrix.T if _attributes(node).get("transB") else matrix

    def _constant(self, name: str, value: Any) -> str:
        self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _add(self, kind: str, *inputs: str, output: str = "", **given: Any) -> str:
        name = output or f"int8.{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **given))
        return name


def _apart_from_zero(values: Floats) -> Floats:
    return np.maximum(values, max(_LEAST, float(values.max()) * _LEAST_REACH))

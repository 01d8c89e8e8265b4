"""GELU is put in the order that ONNX Runtime fuses, and answers as before."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from emoserve_export import gelu


def _exported(module: nn.Module) -> ModelProto:
    x = torch.linspace(-3, 3, 24).reshape(4, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(module, (x,), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    model: ModelProto = program.model_proto
    return model


def _answer(model: ModelProto, optimised: Path | None = None) -> np.ndarray:
    options = ort.SessionOptions()
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = ort.InferenceSession(model.SerializeToString(), options)
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6)
    (answer,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(answer)


class _TwoGelus(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(nn.functional.gelu(x) + x)


def test_every_gelu_becomes_one_operation(tmp_path: Path) -> None:
    model = _exported(_TwoGelus())
    before = _answer(model)
    assert gelu.reorder(model) == 2
    onnx.checker.check_model(model, full_check=True)
    after = _answer(model, tmp_path / "optimised.onnx")
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["Gelu"] == 2
    assert not kinds["Erf"]
    assert gelu.reorder(model) == 0  # it is done


@pytest.mark.parametrize("of_x", [True, False], ids=["half is read twice", "erf of another value"])
def test_what_only_looks_like_it_stays(of_x: bool) -> None:
    """y = x * half with half = 0.5 * (1 + erf(x / 1.4)): also an output, or of another value."""
    nodes = [
        helper.make_node("Div", ["x" if of_x else "twice", "root"], ["ratio"]),
        helper.make_node("Erf", ["ratio"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["more"]),
        helper.make_node("Mul", ["more", "point_five"], ["half"]),
        helper.make_node("Mul", ["x", "half"], ["y"]),
        helper.make_node("Add", ["y", "half"], ["z"] if of_x else ["unread"]),
    ]
    if not of_x:
        nodes = [helper.make_node("Add", ["x", "x"], ["twice"]), *nodes[:-1]]
        nodes[-1].output[0] = "z"
    values = {"root": 1.4, "one": 1.0, "point_five": 0.5}
    graph = helper.make_graph(
        nodes,
        "almost",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [4, 6])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    before = model.SerializeToString()
    assert gelu.reorder(model) == 0
    assert model.SerializeToString() == before

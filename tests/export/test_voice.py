"""Short convolutions as matrix products: the same answers, and only where it pays."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emoserve_export.networks.voice import convolutions_as_products
from emoserve_export.sessions import open_session

WINDOWS = 5


def convolution(
    length: int, channels: int, width: int, *, bias: bool = True, **given: object
) -> ModelProto:
    """Return a graph of one convolution over `[windows, channels, length]` to 6 channels."""
    rng = np.random.default_rng(0)
    group = int(str(given.get("group", 1)))
    arrays = {"w": rng.normal(size=(6, channels // group, width)), "b": rng.normal(size=6)}
    weights = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    names = ["x", "w", "b"] if bias else ["x", "w"]
    node = helper.make_node("Conv", names, ["y"], "conv", **given)  # type: ignore[arg-type]
    graph = helper.make_graph(
        [node],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["windows", channels, length])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["windows", 6, None])],
        weights[: len(names) - 1],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


def answer(model: ModelProto, length: int, channels: int) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(WINDOWS, channels, length)).astype(np.float32)
    return open_session(model).run({"x": x})["y"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("length", "channels", "width", "given", "kinds"),
    [
        (4, 3, 3, {"pads": [1, 1]}, {"Reshape", "Gemm"}),
        (4, 3, 3, {"pads": [1, 1], "strides": [2]}, {"Reshape", "Gemm"}),
        (1, 3, 3, {"pads": [1, 1]}, {"Reshape", "Gemm"}),
        (5, 3, 3, {"pads": [2, 0]}, {"Reshape", "Gemm"}),
        (26, 1, 8, {"strides": [4]}, {"Slice", "Reshape", "Concat", "MatMul", "Transpose"}),
        (24, 1, 8, {"strides": [8]}, {"Slice", "Reshape", "Concat", "MatMul", "Transpose"}),
    ],
)
def test_a_product_answers_like_the_convolution(
    length: int,
    channels: int,
    width: int,
    given: dict[str, object],
    kinds: set[str],
    bias: bool,
) -> None:
    model = convolution(length, channels, width, bias=bias, **given)
    wanted = answer(model, length, channels)
    convolutions_as_products(model)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} - {"Add"} == kinds
    np.testing.assert_allclose(answer(model, length, channels), wanted, atol=1e-5)
    assert "w" not in {tensor.name for tensor in model.graph.initializer}


@pytest.mark.parametrize(
    ("length", "channels", "width", "given"),
    [
        (64, 3, 3, {}),  # much to slide over
        (8, 3, 3, {"strides": [2]}),  # most of a dense map would be zeros
        (4, 3, 2, {"dilations": [2]}),
        (4, 3, 3, {"group": 3}),
    ],
)
def test_other_convolutions_stay(
    length: int, channels: int, width: int, given: dict[str, object]
) -> None:
    model = convolution(length, channels, width, **given)
    before = model.SerializeToString()
    convolutions_as_products(model)
    assert model.SerializeToString() == before

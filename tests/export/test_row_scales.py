"""INT8 products whose rows have scales of their own."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emoserve_ensemble.arrays import Floats
from emoserve_export import row_scales
from emoserve_export.sessions import open_session

CHANNELS, HIDDEN, CLASSES = 48, 96, 5
OUTLIER = 7  # a channel that is large in every item, as transformers have them


def network(opset: int = 18) -> ModelProto:
    """float32 [items, 48] -> [items, 5]: two products that share an input, and one after them."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> TensorProto:
        values = rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Gemm", ["x", "w2", "b2"], ["b"], "second", transB=1),
        helper.make_node("Add", ["a", "b"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["relu"], "relu"),
        helper.make_node("Gemm", ["relu", "w3", "b3"], ["y"], "head"),
    ]
    constants = [
        weights("w1", CHANNELS, HIDDEN),
        weights("w2", HIDDEN, CHANNELS),
        weights("b2", HIDDEN),
        weights("w3", HIDDEN, CLASSES),
        weights("b3", CLASSES),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["items", CHANNELS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["items", CLASSES])
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def items(count: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).normal(0, 1, (count, CHANNELS)).astype(np.float32)
    values[:, OUTLIER] *= 60
    return values


def quantised(kept: tuple[str, ...] = (), opset: int = 18) -> ModelProto:
    model = network(opset)
    return row_scales.in_int8(model, row_scales.reach(model, [{"x": items(64, 1)}]), kept)


def answers(model: ModelProto, x: Floats) -> Floats:
    return np.asarray(open_session(model).run({"x": x})["y"])


def test_all_products_are_found_and_computed_in_int8() -> None:
    assert [node.name for node in row_scales.products(network())] == ["first", "second", "head"]
    made = quantised()
    onnx.checker.check_model(made, full_check=True)
    kinds = [node.op_type for node in made.graph.node]
    assert kinds.count("MatMulIntegerToFloat") == 3
    assert kinds.count("QuantizeLinear") == 2  # what two products read is quantised once
    assert not {"MatMul", "Gemm"} & set(kinds)
    left = {t.name for t in made.graph.initializer if t.data_type == TensorProto.FLOAT}
    assert not {"w1", "w2", "w3"} & left


@pytest.mark.parametrize("opset", [13, 17, 18, 21])  # others' files bring their own
def test_answers_stay_near_in_spite_of_a_channel_of_outliers(opset: int) -> None:
    x = items(200, 2)
    wanted, answer = answers(network(opset), x), answers(quantised((), opset), x)
    assert np.linalg.norm(answer - wanted) < 0.02 * np.linalg.norm(wanted)


def test_smoothing_is_what_bears_the_outliers(monkeypatch: pytest.MonkeyPatch) -> None:
    x = items(200, 2)
    wanted = answers(network(), x)
    smooth = np.linalg.norm(answers(quantised(), x) - wanted)
    monkeypatch.setattr(row_scales, "_apart_from_zero", np.ones_like)
    assert smooth < 0.5 * np.linalg.norm(answers(quantised(), x) - wanted)


def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    made, x = quantised(), items(6, 3)
    alone = np.concatenate([answers(made, row[np.newaxis]) for row in x])
    loud = np.concatenate([x, 1000 * x, np.zeros_like(x)])
    np.testing.assert_allclose(answers(made, loud)[: len(x)], alone, rtol=1e-5, atol=1e-6)


def test_zeros_give_the_biases() -> None:
    zeros = np.zeros((2, CHANNELS), np.float32)
    np.testing.assert_allclose(answers(quantised(), zeros), answers(network(), zeros), atol=0.02)


def test_what_is_kept_stays_in_float32() -> None:
    made = quantised(("first", "head"))
    assert [node.name for node in row_scales.products(made)] == ["first", "head"]
    nothing = quantised(("first", "second", "head"))
    assert {node.op_type for node in nothing.graph.node} == {"MatMul", "Gemm", "Add", "Relu"}


@pytest.mark.parametrize("given", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}])
def test_a_product_of_another_form_is_left_alone(given: dict[str, float]) -> None:
    model = network()
    model.graph.node[4].attribute.extend(
        helper.make_attribute(name, value) for name, value in given.items()
    )
    assert [node.name for node in row_scales.products(model)] == ["first", "second"]

"""The ONNX graph: named axes, one opset, no stale shapes, its origin in the metadata."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from emoserve_export import graph
from emoserve_export.candidate import Candidate
from emoserve_export.conversion import Converted, build_module, convert
from emoserve_export.declaration import Network, Tensor, axes
from emoserve_export.errors import GraphError
from emoserve_export.sessions import open_session

from .conftest import Declare


def shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def as_version(network: Network, converted: Converted, version: int) -> dict[str, bytes]:
    made = Candidate(network, converted.model, "fp32", converted.pairs, converted.rows)
    return made.files(version)


def test_tensors_and_axes_are_named_as_declared(converted: Converted) -> None:
    inner = converted.model.graph
    assert {value.name: shape(value) for value in inner.input} == {"picture": ["batch", 1, 8, 8]}
    assert {value.name: shape(value) for value in inner.output} == {
        "emotion": ["batch", 3],
        "embedding": ["batch", 4],
    }


def test_the_opset_is_pinned_and_nothing_stale_is_left(converted: Converted) -> None:
    model = converted.model
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": graph.OPSET}
    assert not model.graph.value_info
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"site-packages" not in model.SerializeToString()
    assert b"conftest" not in model.SerializeToString()


def test_any_batch_runs(converted: Converted) -> None:
    session = open_session(converted.model)
    for size in (1, 7):
        answer = session.run({"picture": np.zeros((size, 1, 8, 8), np.float32)})
        assert answer["emotion"].shape == (size, 3)


def test_exporting_twice_gives_the_same_bytes(tiny: Network, converted: Converted) -> None:
    again = convert(tiny)
    made, remade = (as_version(tiny, c, 1) for c in (converted, again))
    assert made == remade


def test_the_metadata_says_where_it_comes_from(tiny: Network, converted: Converted) -> None:
    files = as_version(tiny, converted, 7)
    facts = graph.metadata(onnx.load_model_from_string(files["model.onnx"]))
    assert facts["emoserve.network"] == "tiny_net"
    assert facts["emoserve.version"] == "7"
    assert facts["emoserve.labels.emotion"] == "happy,sad,calm"
    assert facts["emoserve.preprocessing"] == "tiny_v1"
    assert facts["emoserve.checkpoint_sha256"] == tiny.checkpoint[0].sha256()


class Namesake(nn.Module):
    """Its inner value and its output are both called `embedding` by the exporter."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.out = nn.Linear(4, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.words(ids)).mean(dim=1)


def test_an_inner_value_may_have_the_name_of_an_output(variant: Declare) -> None:
    network = variant(
        inputs=(Tensor("ids", "int64", axes("batch", "tokens"), range=(0, 9)),),
        outputs=(Tensor("embedding", "float32", axes("batch", embedding=4)),),
        labels={},
    )
    model = graph.export_graph(network, Namesake())
    assert shape(model.graph.input[0]) == ["batch", "tokens"]
    answer = open_session(model).run({"ids": np.zeros((2, 5), np.int64)})
    assert answer["embedding"].shape == (2, 4)


def test_a_graph_with_other_sizes_than_declared_is_refused(variant: Declare, tiny: Network) -> None:
    wrong = (
        Tensor("emotion", "float32", axes("batch", classes=3)),
        Tensor("embedding", "float32", axes("batch", embedding=5)),
    )
    network = variant(outputs=wrong)
    with pytest.raises(GraphError, match="output embedding: axis embedding is 4, declared is 5"):
        graph.export_graph(network, build_module(tiny))


def test_a_wrong_number_of_outputs_is_refused(variant: Declare, tiny: Network) -> None:
    one = variant(outputs=tiny.outputs[:1])
    with pytest.raises(GraphError, match="forward returned 2 tensors"):
        convert(one)


def one_operator(name: str = "y", kind: int = TensorProto.FLOAT) -> bytes:
    given = helper.make_tensor_value_info("x", kind, ["n", 2])
    made = helper.make_tensor_value_info(name, kind, ["n", 2])
    inner = helper.make_graph([helper.make_node("Identity", ["x"], [name])], "g", [given], [made])
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def as_it_is(variant: Declare, **fields: object) -> Network:
    plain = {
        "build": None,
        "inputs": (Tensor("in", "float32", axes("batch", two=2)),),
        "outputs": (Tensor("out", "float32", axes("batch", two=2)),),
        "labels": {},
        "renames": {"x": "in", "y": "out"},
    }
    return variant(**(plain | fields))


def test_an_onnx_file_is_taken_as_it_is_under_the_declared_names(variant: Declare) -> None:
    model = graph.read_graph(as_it_is(variant), one_operator())
    assert shape(model.graph.input[0]) == ["batch", 2]
    answer = open_session(model).run({"in": np.ones((3, 2), np.float32)})
    np.testing.assert_array_equal(answer["out"], np.ones((3, 2), np.float32))


def test_an_onnx_file_of_another_kind_is_refused(variant: Declare) -> None:
    with pytest.raises(GraphError, match=r"outputs are \['z'\], declared are \['out'\]"):
        graph.read_graph(as_it_is(variant), one_operator("z"))
    with pytest.raises(GraphError, match="input in: is DOUBLE, declared is float32"):
        graph.read_graph(as_it_is(variant), one_operator(kind=TensorProto.DOUBLE))
    with pytest.raises(GraphError, match="not an ONNX file"):
        graph.read_graph(as_it_is(variant), b"\x08\xff\xff")

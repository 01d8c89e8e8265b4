"""Small real model repositories, and real Tritons that serve them.

The pattern for other test folders: one server for the whole session, on free ports.

    @pytest.fixture(scope="session")
    def triton():
        with EmbeddedTriton(REPOSITORY, http_port=0, grpc_port=0, metrics_port=0) as server:
            yield server

`new_repository()` gives a `Repository` to which models are added; `serve(repository)` starts a
server for one test.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from emoserve_server import EmbeddedTriton

ANY_PORTS: dict[str, Any] = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}

_PLUS_ONE = """
    import triton_python_backend_utils as pb_utils


    class TritonPythonModel:
        def execute(self, requests):
            return [self.answer(request) for request in requests]

        def answer(self, request):
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            return pb_utils.InferenceResponse([pb_utils.Tensor("y", x + 1)])
"""

_TENSORS = """\
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
"""


class Repository:
    """A model repository under construction; `path` is its folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, backend: str, *, batch: int = 8, more: str = "") -> Path:
        """Write a config with float32 [2] in and out, and return the version folder."""
        version = self.path / name / "1"
        version.mkdir(parents=True)
        default = 'input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]\n'
        default += 'output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]\n'
        (version.parent / "config.pbtxt").write_text(
            f'backend: "{backend}"\nmax_batch_size: {batch}\n'
            "instance_group [{ kind: KIND_CPU }]\n"
            + (more if "input [" in more else default + more)
        )
        return version

    def add_python(self, name: str, source: str = _PLUS_ONE, **config: Any) -> Repository:
        """Add a Python model; without a source it answers y = x + 1."""
        (self.add(name, "python", **config) / "model.py").write_text(textwrap.dedent(source))
        return self

    def add_network(self, name: str, model: onnx.ModelProto, **config: Any) -> Repository:
        """Add an ONNX network."""
        onnx.save(model, str(self.add(name, "onnxruntime", **config) / "model.onnx"))
        return self


def network(
    nodes: list[onnx.NodeProto], inputs: dict[str, Any], outputs: dict[str, Any]
) -> onnx.ModelProto:
    """Return a checked model; inputs and outputs map a name to (element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def double_and_square() -> onnx.ModelProto:
    """y = x + x and z = x * x over float32 [batch, 2]."""
    kind = (TensorProto.FLOAT, ["batch", 2])
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Mul", ["x", "x"], ["z"])]
    return network(nodes, {"x": kind}, {"y": kind, "z": kind})


@pytest.fixture(scope="session")
def make_network() -> Callable[..., onnx.ModelProto]:
    return network


@pytest.fixture(scope="session")
def repository_at() -> type[Repository]:
    return Repository


@pytest.fixture
def new_repository(tmp_path: Path) -> Callable[[], Repository]:
    def make() -> Repository:
        path = tmp_path / "models"
        path.mkdir()
        return Repository(path)

    return make


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., EmbeddedTriton]]:
    """Starts a server that ends with the test."""
    with ExitStack() as stack:

        def start(repository: Repository, **options: Any) -> EmbeddedTriton:
            return stack.enter_context(EmbeddedTriton(repository.path, **{**ANY_PORTS, **options}))

        yield start

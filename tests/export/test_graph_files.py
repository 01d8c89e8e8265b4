"""Large graphs lie in two files, and are the same network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emoserve_ensemble.runtimes import GRAPH, OnnxRuntime
from emoserve_export import graph_files
from emoserve_export.graph_files import WEIGHTS, content

ROWS, WIDTH = 1000, 64  # 256 kB


def table(seed: int = 0) -> ModelProto:
    """Return a network that looks rows up and adds a bias that is too small to move."""
    words = np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)
    weights = [
        numpy_helper.from_array(words, "words"),
        numpy_helper.from_array(np.ones(WIDTH, np.float32), "one"),
    ]
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["rows"]),
        helper.make_node("Add", ["rows", "one"], ["out"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "table", [ids], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_files, "LARGE_BYTES", 2**16)


def written(folder: Path, model: ModelProto) -> dict[str, bytes]:
    files = graph_files.graph_files(model.SerializeToString(deterministic=True))
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


def test_a_small_graph_is_one_file(tmp_path: Path) -> None:
    model = table()
    assert written(tmp_path / "1", model) == {GRAPH: model.SerializeToString(deterministic=True)}


@pytest.mark.usefixtures("all_are_large")
def test_a_large_graph_has_its_weights_beside_it_and_answers_the_same(tmp_path: Path) -> None:
    model = table()
    files = written(tmp_path / "1", model)
    assert set(files) == {GRAPH, WEIGHTS}
    assert len(files[GRAPH]) < 2000
    assert len(files[WEIGHTS]) >= ROWS * WIDTH * 4
    onnx.checker.check_model(str(tmp_path / "1" / GRAPH))
    ids = np.array([3, 999, 0])
    inside = OnnxRuntime(model.SerializeToString(), 1).run({"ids": ids})["out"]
    beside = OnnxRuntime(tmp_path / "1" / GRAPH, 1).run({"ids": ids})["out"]
    np.testing.assert_array_equal(inside, beside)


@pytest.mark.usefixtures("all_are_large")
def test_the_same_network_gives_the_same_files_and_another_other_content(tmp_path: Path) -> None:
    first, again = (written(tmp_path / name, table()) for name in ("a", "b"))
    written(tmp_path / "c", table(seed=1))
    assert first == again
    a, b, c = (content(tmp_path / name) for name in ("a", "b", "c"))
    assert a == b != c

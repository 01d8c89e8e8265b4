"""The stand-in for Triton's onnxruntime backend answers as ONNX Runtime does in this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton_grpc
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from emoserve_server import EmbeddedTriton, StartError

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

# Requests wait until eight are there, or half a second, so that a batch is certain to form.
GATHERED = "dynamic_batching { preferred_batch_size: [8] max_queue_delay_microseconds: 500000 }"

TWO_OUTPUTS = """
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }, { name: "z" data_type: TYPE_FP32 dims: [2] }]
"""
LOOKUP = """
input [{ name: "index" data_type: TYPE_INT64 dims: [2] }]
output [{ name: "row" data_type: TYPE_FP32 dims: [2, 3] }]
"""
ANY_LENGTH = """
input [{ name: "x" data_type: TYPE_FP32 dims: [-1] allow_ragged_batch: true }]
output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
"""
NOT_BATCHED = """
input [{ name: "x" data_type: TYPE_FP32 dims: [-1, 3] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [3, -1] }]
"""
TEXT = """
input [{ name: "x" data_type: TYPE_STRING dims: [2] }]
output [{ name: "y" data_type: TYPE_STRING dims: [2] }]
"""
TABLE = np.arange(15, dtype=np.float32).reshape(5, 3)  # [rows, 3]


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'


@pytest.fixture(scope="module")
def triton(tmp_path_factory, double_and_square, make_network, repository_at):
    """One server with a model for each trait."""
    repository = repository_at(tmp_path_factory.mktemp("networks"))
    add = repository.add_network
    add("gathered", double_and_square, more=TWO_OUTPUTS + GATHERED)
    add("lookup", _lookup(make_network), more=LOOKUP + GATHERED)
    any_length = make_network(
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": (FLOAT, ["batch", "length"])},
        {"y": (FLOAT, ["batch", "length"])},
    )
    add("any_length", any_length, more=ANY_LENGTH + GATHERED)
    fixed_length = make_network(
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": (FLOAT, ["batch", 4])},
        {"y": (FLOAT, ["batch", 4])},
    )
    add("fixed_length", fixed_length, more=ANY_LENGTH)
    transposed = make_network(
        [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])],
        {"x": (FLOAT, ["rows", 3])},
        {"y": (FLOAT, [3, "rows"])},
    )
    add("not_batched", transposed, batch=0, more=NOT_BATCHED)
    same = make_network(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (STRING, ["batch", 2])},
        {"y": (STRING, ["batch", 2])},
    )
    add("text", same, more=TEXT)
    add("renamed", double_and_square, more='default_model_filename: "network.onnx"')
    version = repository.path / "renamed" / "1"
    (version / "model.onnx").rename(version / "network.onnx")
    add("one_thread", double_and_square)
    add("four_threads", double_and_square, more=parameter("intra_op_thread_count", "4"))
    with EmbeddedTriton(repository.path, http_port=0, grpc_port=0, metrics_port=0) as server:
        yield server


def _lookup(make_network):
    """row = TABLE[index]: an index outside the table fails at run time, not by its shape."""
    graph_nodes = [
        helper.make_node("Constant", [], ["table"], value=numpy_helper.from_array(TABLE)),
        helper.make_node("Gather", ["table", "index"], ["row"], axis=0),
    ]
    return make_network(
        graph_nodes, {"index": (INT64, ["batch", 2])}, {"row": (FLOAT, ["batch", 2, 3])}
    )


@pytest.fixture
def client(triton):
    with triton_grpc.InferenceServerClient(triton.grpc_url.removeprefix("grpc://")) as made:
        yield made


def wire(name: str, array: np.ndarray) -> list[triton_grpc.InferInput]:
    tensor = triton_grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return [tensor]


def send_together(client, model, inputs):
    """Send all at once; return for each its result or its error, in order."""

    def send(tensors):
        try:
            return client.infer(model, tensors)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(inputs)) as pool:
        return list(pool.map(send, inputs))


def executions(client, model) -> int:
    """Return how many batches the model has run."""
    statistics = client.get_inference_statistics(model, as_json=True)
    return int(statistics["model_stats"][0].get("execution_count", 0))


def in_process(triton, model: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ONNX Runtime's own answer to the same file."""
    session = onnxruntime.InferenceSession(triton.model_repository / model / "1" / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_a_batch_is_run_once_and_each_caller_gets_its_rows(triton, client):
    rng = np.random.default_rng(7)
    arrays = [rng.normal(size=(rows, 2)).astype(np.float32) for rows in (1, 2, 1, 3, 1)]
    before = executions(client, "gathered")
    answers = send_together(client, "gathered", [wire("x", array) for array in arrays])
    assert executions(client, "gathered") == before + 1
    expected = in_process(triton, "gathered", {"x": np.concatenate(arrays)})
    for name in ("y", "z"):
        served = np.concatenate([answer.as_numpy(name) for answer in answers])
        np.testing.assert_array_equal(served, expected[name])


def test_only_the_outputs_asked_for_are_sent(client):
    asked = [triton_grpc.InferRequestedOutput("z")]
    answer = client.infer("gathered", wire("x", np.float32([[2, 3]])), outputs=asked)
    assert [output.name for output in answer.get_response().outputs] == ["z"]
    assert answer.as_numpy("z").tolist() == [[4, 9]]


def test_a_value_the_network_refuses_fails_its_own_request_only(client):
    indices = [np.int64([[0, 1]]), np.int64([[4, 99]]), np.int64([[2, 3]])]
    before = executions(client, "lookup")
    answers = send_together(client, "lookup", [wire("index", index) for index in indices])
    assert executions(client, "lookup") == before + 1
    assert answers[0].as_numpy("row").tolist() == [TABLE[[0, 1]].tolist()]
    assert answers[2].as_numpy("row").tolist() == [TABLE[[2, 3]].tolist()]
    assert isinstance(answers[1], InferenceServerException)
    assert "99" in answers[1].message()
    assert "INVALID_ARGUMENT" in answers[1].status()


def test_different_shapes_in_one_batch_are_answered_by_shape(triton, client):
    arrays = [np.float32([[1, 2, 3]]), np.float32([[4]]), np.float32([[5, 6, 7]])]
    answers = send_together(client, "any_length", [wire("x", array) for array in arrays])
    for array, answer in zip(arrays, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y"), -array)


def test_a_wrong_shape_is_named_with_what_is_accepted(client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("fixed_length", wire("x", np.zeros((1, 3), np.float32)))
    message = caught.value.message()
    assert "input 'x' has shape [1, 3], accepted is [-1, 4]" in message
    answer = client.infer("fixed_length", wire("x", np.ones((1, 4), np.float32)))
    assert answer.as_numpy("y").tolist() == [[-1, -1, -1, -1]]


def test_a_network_without_a_batch_axis(triton, client):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    answers = send_together(client, "not_batched", [wire("x", array + step) for step in range(3)])
    for step, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.as_numpy("y"), (array + step).T)


def test_strings_pass(client):
    texts = np.array([["Grüße", ""]], dtype=object)
    answer = client.infer("text", wire("x", texts))
    assert [text.decode() for text in answer.as_numpy("y")[0]] == ["Grüße", ""]


def test_the_config_names_the_file(client):
    assert client.infer("renamed", wire("x", np.float32([[1, 5]]))).as_numpy("y").tolist() == [
        [2, 10]
    ]


def test_threads_are_one_unless_the_config_says_so(triton):
    """ONNX Runtime starts n - 1 threads beside the calling one."""
    one, four = (_threads(triton, model) for model in ("one_thread", "four_threads"))
    assert four - one == 3


def _threads(triton, model: str) -> int:
    """Return the threads of the stub process that serves a model."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == triton.pid and any(part.startswith(f"{model}_") for part in command):
            return len(list((process / "task").iterdir()))
    raise AssertionError(f"no process serves {model}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (parameter("session.load_model_format", "ORT"), "load|model|flatbuffer"),
        (parameter("intra_op_thread_count", "many"), "many"),
        ('output [{ name: "w" data_type: TYPE_FP32 dims: [2] }]\n'
         'input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]', "output 'w', the network has"),
    ],
)  # fmt: skip
def test_a_config_the_network_cannot_follow_fails_at_load(
    new_repository, double_and_square, more, message
):
    repository = new_repository().add_network("net", double_and_square, more=more)
    triton = EmbeddedTriton(repository.path, http_port=0, grpc_port=0, metrics_port=0)
    with pytest.raises(StartError, match=message):
        triton.start()

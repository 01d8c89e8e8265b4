"""Every transport against a real Triton: types, errors, streams, questions to the server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoserve_client import (
    DeadlineError,
    InputError,
    ModelNotFoundError,
    NoAnswerError,
    Retry,
    ServerError,
    UnreachableError,
)

ARRAYS = {
    "fp32": np.array([[1.5, -2.5, np.inf, 0.0]], np.float32),
    "fp16": np.array([[1.5, -2.5]], np.float16),
    "int64": np.array([[2**62, -1]], np.int64),
    "uint8": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
    "bool": np.array([[True, False, True]]),
    "bytes": np.array([[b"a\0b\0", "ümlaut".encode(), b""]], dtype=object),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_comes_back_as_it_went(client: Any, name: str) -> None:
    reply = client.model("echo").infer({name: ARRAYS[name]}, outputs=[name])
    assert reply[name].dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(reply[name], ARRAYS[name])
    assert (reply.model, reply.version) == ("echo", "1")


def test_all_types_in_one_request(client: Any) -> None:
    reply = client.model("echo").infer(ARRAYS)
    assert set(reply.outputs) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(reply[name], array)


def test_lists_and_strings_take_the_declared_type(client: Any) -> None:
    reply = client.model("echo").infer(
        fp32=[[1, 2]], bytes=[["x", b"y"]], outputs=["fp32", "bytes"]
    )
    assert reply["fp32"].dtype == np.float32
    assert reply["fp32"].tolist() == [[1.0, 2.0]]
    assert reply["bytes"].tolist() == [[b"x", b"y"]]


@pytest.mark.parametrize(
    ("inputs", "reason", "says"),
    [
        ({"nope": 1}, "bad_option", "echo has no input 'nope'; there are: fp32 FP32 [any, any]"),
        ({"fp32": np.zeros((1, 2), np.complex64)}, "bad_type", "not complex64"),
        ({"fp32": np.zeros(2, np.float32)}, "bad_shape", r"not the shape \[2\]"),
        ({"int64": np.zeros((1, 2), np.float32)}, "bad_type", "INT64 .* was expected, not float32"),
    ],
)
def test_inputs_are_held_against_the_metadata(
    client: Any, inputs: dict[str, Any], reason: str, says: str
) -> None:
    with pytest.raises(InputError, match=says.replace("[any, any]", r"\[any, any\]")) as caught:
        client.model("echo").infer(inputs)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("invalid", InputError, "image: not a picture"),
        ("internal", ServerError, "the network fell over"),
        ("unavailable", NoAnswerError, "unavailable: the queue is full"),
        ("not_found", ServerError, "no such thing"),
        ("unsupported", ServerError, "cannot do that"),
    ],
)
def test_errors_of_a_model(client: Any, fault: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        client.model("faulty").infer(fault=[fault])
    error: Any = caught.value
    assert error.message == message
    assert (error.model, len(error.attempts)) == ("faulty", 1)
    assert error.endpoint == error.attempts[0].endpoint
    assert len(error.request_id) == 32
    assert getattr(error, "reason", "undecodable") == "undecodable"


def test_an_unknown_model(client: Any) -> None:
    with pytest.raises(ModelNotFoundError, match="'nope' is not found") as caught:
        client.model("nope").infer(x=1)
    assert caught.value.hint == "see what it serves with: emoserve models"


def test_a_slow_model_ends_with_the_deadline(client: Any) -> None:
    model = client.model("faulty")
    model.info()
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        model.infer(fault=["fine"], wait_s=[2.0], timeout_s=0.3)
    assert time.monotonic() - started < 1.5


def test_a_stream(client: Any) -> None:
    replies = list(client.model("ticker").stream(count=[3], wait_s=[0.0]))
    assert [reply["tick"].tolist() for reply in replies] == [[0], [1], [2]]
    assert {reply["tick"].dtype for reply in replies} == {np.dtype(np.int32)}


def test_a_stream_that_fails_gives_what_came_before(client: Any) -> None:
    replies = iter(
        client.model("ticker").stream(count=[2], wait_s=[0.0], fault=["the network fell over"])
    )
    assert [int(next(replies)["tick"][0]) for _ in range(2)] == [0, 1]
    with pytest.raises(ServerError, match="the network fell over"):
        next(replies)


def test_a_stream_that_is_left_is_cancelled_on_the_server(client: Any, tmp_path: Path) -> None:
    noted = tmp_path / "cancelled"
    replies = client.model("ticker").stream(count=[100], wait_s=[0.05], cancelled_file=[str(noted)])
    for reply in replies:
        if int(reply["tick"][0]) == 2:
            break
    replies.close()
    deadline = time.monotonic() + 5
    while not noted.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 3 <= int(noted.read_text()) < 20


def test_questions_to_the_server(client: Any) -> None:
    assert client.server().name == "triton"
    assert {one.name: one.ready for one in client.models()} == {
        "echo": True,
        "faulty": True,
        "ticker": True,
    }
    info = client.model("ticker").info()
    assert [str(one) for one in info.inputs][:2] == ["count INT32 [1]", "wait_s FP32 [1]"]
    assert client.is_ready()
    assert client.is_ready("echo")
    assert not client.is_ready("nope")
    client.model("faulty").infer(fault=["fine"])
    ((statistics,),) = client.statistics("faulty").values()
    assert statistics.durations["success"].count >= 1


def test_nobody_listens(open_client: Any, way: str, protocol: str) -> None:
    client = open_client(way, f"{protocol}://127.0.0.1:9", retry=Retry(attempts=1))
    assert not client.is_ready()
    with pytest.raises(UnreachableError, match=r"no server answers at .*127\.0\.0\.1:9") as caught:
        client.text("hello")
    assert caught.value.hint == "start one with: emoserve serve"

"""A session for each batch size answers as one session for all, and each sees one shape only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from emoserve_server.onnxruntime_backend.batch_sizes import FixedBatch, SessionPerBatchSize

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Watched:
    """A real session that notes the batch sizes it was given."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = onnxruntime.InferenceSession(model.SerializeToString())
        self.seen: list[int] = []

    def run(self, wanted: Sequence[str] | None, feeds: dict[str, Any]) -> Any:
        self.seen.append(len(next(iter(feeds.values()))))
        return self._session.run(wanted, feeds)

    def run_with_iobinding(self, binding: Any) -> None:
        self.seen.append(len(binding.get_outputs()[0].numpy()))
        self._session.run_with_iobinding(binding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.fixture(scope="module")
def model(make_network) -> onnx.ModelProto:
    """y = 2 x of [batch, 3], n = -i of [batch]: two inputs of two types."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["i"], ["n"])]
    return make_network(
        nodes,
        {"x": (FLOAT, ["batch", 3]), "i": (INT64, ["batch"])},
        {"y": (FLOAT, ["batch", 3]), "n": (INT64, ["batch"])},
    )


@pytest.fixture(params=["sessions", "fixed"])
def made(model, request: pytest.FixtureRequest) -> tuple[SessionPerBatchSize, list[Watched]]:
    """Runner and its sessions, plain ones and ones whose tensors stay in their place."""
    sessions = {size: Watched(model) for size in (1, 4, 6)}
    if request.param == "sessions":
        return SessionPerBatchSize(sessions), list(sessions.values())
    fixed = {size: FixedBatch(session, size, ("cpu", 0)) for size, session in sessions.items()}
    return SessionPerBatchSize(fixed), list(sessions.values())


def feeds(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    return {"x": rng.normal(size=(rows, 3)).astype(np.float32), "i": np.arange(rows)}


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 9, 13])
def test_every_batch_is_answered_whole_and_without_what_fills_it_up(made, model, rows) -> None:
    whole = onnxruntime.InferenceSession(model.SerializeToString())
    answer, wanted = made[0].run(None, feeds(rows)), whole.run(None, feeds(rows))
    for found, expected in zip(answer, wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    (only,) = made[0].run(["n"], feeds(rows))
    np.testing.assert_array_equal(only, wanted[1])


def test_each_session_sees_one_batch_size(made) -> None:
    runner, sessions = made
    assert [set(session.seen) for session in sessions] == [{1}, {4}, {6}]  # before any request
    for rows in (3, 1, 6, 2, 5, 1, 14):
        runner.run(None, feeds(rows))
    assert [set(session.seen) for session in sessions] == [{1}, {4}, {6}]


def test_answers_given_stay_when_the_next_batch_comes(made) -> None:
    runner = made[0]
    (first,) = runner.run(["y"], feeds(4))
    kept = first.copy()
    runner.run(["y"], {name: 7 * array for name, array in feeds(4).items()})
    np.testing.assert_array_equal(first, kept)


def test_the_network_is_described_as_by_its_session(made, model) -> None:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [one.name for one in made[0].get_inputs()] == [one.name for one in session.get_inputs()]
    assert [one.name for one in made[0].get_outputs()] == ["y", "n"]
    assert made[0].get_providers() == session.get_providers()


def test_an_axis_without_a_size_is_named(make_network: Callable[..., onnx.ModelProto]) -> None:
    free = make_network(
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": (FLOAT, ["batch", "length"])},
        {"y": (FLOAT, ["batch", "length"])},
    )
    problem = r"'x' has shape \['batch', 'length'\].*fixed size"
    with pytest.raises(ValueError, match=problem):
        SessionPerBatchSize({1: Watched(free)})
    with pytest.raises(ValueError, match=problem):
        FixedBatch(Watched(free), 1, ("cpu", 0))

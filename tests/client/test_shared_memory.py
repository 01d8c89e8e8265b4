"""Large inputs through shared memory, against a real Triton, and the way back when it is off."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoserve_client import Call, EmotionClient, Hook

SHM = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not SHM.is_dir(), reason="needs /dev/shm")
BIG = np.arange(1 << 20, dtype=np.int64).view(np.float32).reshape(1, -1)  # 8 MiB


class Note(Hook):
    """How many bytes and which operations went over the wire."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    def call_started(self, call: Call) -> None:
        self.operations.append(call.operation)


def stretches() -> list[str]:
    return [
        name
        for name in (one.name for one in SHM.iterdir())
        if name.startswith(f"emoserve-{os.getpid()}-")
    ]


def test_the_same_answer_through_shared_memory(
    small: Any, way: str, protocol: str, open_client: Callable[..., Any]
) -> None:
    url, note = getattr(small, f"{protocol}_url"), Note()
    client = open_client(way, url, shared_memory=True, hooks=[note])
    model = client.model("echo")
    for scale in (1, 2):
        given = BIG[:, : BIG.shape[1] // scale]
        reply = model.infer(fp32=given, bytes=[["small", b"x" * 300_000]])
        np.testing.assert_array_equal(reply["fp32"], given)
        assert reply["bytes"][0, 1] == b"x" * 300_000
    assert note.operations == ["metadata", "shared_memory", "infer", "infer"]
    assert len(stretches()) == 1
    client.close()
    assert stretches() == []


def test_small_inputs_go_the_usual_way(small: Any) -> None:
    note = Note()
    with EmotionClient(small.grpc_url, shared_memory=True, hooks=[note]) as client:
        client.model("echo").infer(fp32=[[1.0]], outputs=["fp32"])
    assert note.operations == ["metadata", "infer"]


def test_a_server_that_refuses_it_gets_the_bytes(serve: Any, protocol: str) -> None:
    server = serve(
        "--grpc-restricted-protocol=shared-memory:key=none-has-it",
        "--http-restricted-api=shared-memory:key=none-has-it",
    )
    note = Note()
    url = getattr(server, f"{protocol}_url")
    with EmotionClient(url, shared_memory=True, hooks=[note]) as client:
        for _ in range(2):
            reply = client.model("echo").infer(fp32=BIG, outputs=["fp32"])
            np.testing.assert_array_equal(reply["fp32"], BIG)
    assert note.operations.count("shared_memory") == 1
    assert stretches() == []


def test_a_server_that_has_forgotten_it_gets_the_bytes(small: Any, protocol: str) -> None:
    url = getattr(small, f"{protocol}_url")
    with EmotionClient(url, shared_memory=True) as client:
        client.model("echo").infer(fp32=BIG, outputs=["fp32"])
        (name,) = stretches()
        session = client._session
        client._driver.run(_unregister(session, name))
        reply = client.model("echo").infer(fp32=BIG, outputs=["fp32"])
        np.testing.assert_array_equal(reply["fp32"], BIG)


def _unregister(session: Any, name: str) -> Any:
    from emoserve_client._call import call

    message = session.wire.unregister_memory(name)
    return call(session, message, Call("shared_memory", "", "id", 0), 5.0)


@pytest.mark.slow
def test_how_much_it_saves(serve: Any, protocol: str) -> None:
    """Prints the figures; a timed assertion would be a lie on a busy machine."""
    url = getattr(serve(models=["faulty"]), f"{protocol}_url")
    payload = np.ones(50 << 20, np.uint8)
    for shared in (False, True):
        with EmotionClient(url, shared_memory=shared) as client:
            model = client.model("faulty")
            model.infer(fault=["warm"], payload=payload)
            times = []
            for _ in range(9):
                started = time.perf_counter()
                model.infer(fault=["fine"], payload=payload)
                times.append(time.perf_counter() - started)
        took = statistics.median(times) * 1000
        print(f"\n{protocol}, 50 MiB in, shared memory {shared}: median {took:.0f} ms")

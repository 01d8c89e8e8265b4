"""What a network and a server may do to a call, done for real: through a proxy that misbehaves."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from emoserve_client import (
    DeadlineError,
    NoAnswerError,
    Retry,
    ServerError,
    WrongAnswerError,
)

QUICK = Retry(attempts=4, first_s=0.1)
PATIENT = Retry(attempts=8, first_s=0.2)


def port_of(server: Any, protocol: str) -> int:
    url = server.grpc_url if protocol == "grpc" else server.http_url
    return int(url.rsplit(":", 1)[1])


@pytest.fixture
def path(way: str, protocol: str, small: Any, proxy: Any, open_client: Any) -> Any:
    """A client of the session's server, and the proxy between them."""
    between = proxy(port_of(small, protocol))
    client = open_client(way, f"{protocol}://127.0.0.1:{between.port}", retry=QUICK)
    client.model("faulty").infer(fault=["warm"])
    return client, between


def ask(client: Any, **options: Any) -> bytes:
    answer: bytes = client.model("faulty").infer(fault=["fine"], **options)["answer"][0]
    return answer


def test_a_cut_connection_is_made_again(path: Any) -> None:
    client, between = path
    between.cut()
    assert ask(client) == b"fine"


def test_a_reset_is_retried_until_it_stops(path: Any) -> None:
    client, between = path
    model = client.with_options(retry=PATIENT).model("faulty")
    model.info()
    between.mode = "reset"
    threading.Timer(0.15, lambda: setattr(between, "mode", "forward")).start()
    assert model.infer(fault=["fine"])["answer"][0] == b"fine"


def test_a_reset_that_does_not_stop_is_no_answer(path: Any) -> None:
    client, between = path
    between.mode = "reset"
    with pytest.raises(NoAnswerError) as caught:
        ask(client)
    assert len(caught.value.attempts) == 4


def test_a_stalled_server_ends_with_the_deadline(path: Any) -> None:
    client, between = path
    model = client.model("faulty")
    model.info()
    between.mode = "stall"
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        model.infer(fault=["fine"], timeout_s=0.5)
    assert time.monotonic() - started < 1.5


def test_a_stalled_server_is_left_for_another(
    way: str, protocol: str, small: Any, proxy: Any, open_client: Any
) -> None:
    stalled, well = proxy(port_of(small, protocol)), proxy(port_of(small, protocol))
    urls = [f"{protocol}://127.0.0.1:{one.port}" for one in (stalled, well)]
    client = open_client(way, urls, attempt_timeout_s=0.4, retry=QUICK)
    model = client.model("faulty")
    model.info()
    stalled.mode = "stall"
    for _ in range(4):
        assert model.infer(fault=["fine"])["answer"][0] == b"fine"


def test_a_slow_server_is_hedged(
    way: str, protocol: str, small: Any, proxy: Any, open_client: Any
) -> None:
    stalled, well = proxy(port_of(small, protocol)), proxy(port_of(small, protocol))
    urls = [f"{protocol}://127.0.0.1:{one.port}" for one in (stalled, well)]
    client = open_client(way, urls, hedge_after_s=0.1, timeout_s=3.0)
    model = client.model("faulty")
    model.info()
    stalled.mode = "stall"
    started = time.monotonic()
    for _ in range(4):
        assert model.infer(fault=["fine"])["answer"][0] == b"fine"
    assert time.monotonic() - started < 2.0
    between_them = [stalled, well]
    for one in between_them:
        one.cut()


def test_nonsense_is_no_answer_or_a_wrong_one(path: Any) -> None:
    client, between = path
    between.mode = "garble"
    between.cut()
    with pytest.raises((NoAnswerError, WrongAnswerError)):
        ask(client)


def test_the_wrong_port_says_so(way: str, small: Any, open_client: Any) -> None:
    swapped = {"grpc": small.http_url, "http": small.grpc_url}
    for protocol, url in swapped.items():
        port = url.rsplit(":", 1)[1]
        client = open_client(way, f"{protocol}://127.0.0.1:{port}", retry=Retry(attempts=1))
        with pytest.raises((NoAnswerError, ServerError)):
            client.server()


def test_a_stream_that_breaks_before_its_first_answer_is_asked_for_again(path: Any) -> None:
    client, between = path
    ticker = client.model("ticker")
    ticker.info()
    between.cut()
    replies = ticker.stream(count=[2], wait_s=[0.0])
    assert [int(one["tick"][0]) for one in replies] == [0, 1]


def test_a_stream_that_breaks_later_is_not_said_twice(path: Any) -> None:
    client, between = path
    replies = iter(client.model("ticker").stream(count=[50], wait_s=[0.05]))
    assert int(next(replies)["tick"][0]) == 0
    between.cut()
    with pytest.raises(NoAnswerError):
        list(replies)


def test_the_server_hears_the_deadline(path: Any, small: Any) -> None:
    """A call with little time left does not wait in the server's queue for its turn."""
    client, _ = path
    waits = np.array([1.0], np.float32)
    model = client.model("faulty")
    model.info()
    with pytest.raises(DeadlineError):
        model.infer(fault=["fine"], wait_s=waits, timeout_s=0.2)
    assert ask(client) == b"fine"

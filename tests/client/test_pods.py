"""Three real Tritons under load: one is killed, one is drained; no call fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from typing import Any

import pytest

from emoserve_client import EmotionClient, Retry, UnreachableError
from emoserve_client._endpoint import targets
from emoserve_client._pool import Pool


class Load:
    """Callers that never stop asking, and what became of each call."""

    def __init__(self, client: EmotionClient, callers: int) -> None:
        self.client, self.stop = client, threading.Event()
        self.answered, self.failed = 0, []  # type: ignore[var-annotated]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]

    def __enter__(self) -> Load:
        self.model = self.client.model("faulty")
        self.model.info()
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for one in self._threads:
            one.join()

    def _ask(self) -> None:
        while not self.stop.is_set():
            try:
                reply = self.model.infer(fault=["fine"], wait_s=[0.01])
                assert reply["answer"][0] == b"fine"
            except Exception as err:  # noqa: BLE001 - counted
                with self._lock:
                    self.failed.append(err)
            with self._lock:
                self.answered += 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_one_is_killed_and_one_is_drained_and_no_call_fails(serve: Any, protocol: str) -> None:
    servers = [serve(models=["faulty"], exit_timeout_s=5.0) for _ in range(3)]
    urls = [one.grpc_url if protocol == "grpc" else one.http_url for one in servers]
    served: Counter[str] = Counter()

    from emoserve_client import AttemptEnd, Hook

    class Note(Hook):
        def attempt_ended(self, attempt: AttemptEnd) -> None:
            served[f"{attempt.endpoint} {'ok' if attempt.outcome == 'ok' else 'failed'}"] += 1

    client = EmotionClient(urls, timeout_s=15.0, retry=Retry(attempts=6), hooks=[Note()])
    with client, Load(client, callers=4) as load:
        time.sleep(1.0)
        os.kill(servers[0].pid, signal.SIGKILL)
        time.sleep(1.5)
        servers[1].stop()
        time.sleep(1.5)
    assert load.failed == []
    assert load.answered > 100
    assert served[f"{urls[2]} ok"] > 0
    retried = sum(count for name, count in served.items() if name.endswith("failed"))
    print(f"\n{protocol}: {load.answered} calls, 0 failed, {retried} retried; {dict(served)}")


@pytest.mark.slow
def test_a_server_that_comes_back_is_used_again(serve: Any) -> None:
    first = serve()
    port = int(first.grpc_url.rsplit(":", 1)[1])
    with EmotionClient(first.grpc_url, timeout_s=30.0, retry=Retry(attempts=1)) as client:
        assert client.is_ready()
        first.stop()
        with pytest.raises(UnreachableError):
            client.server()
        serve(grpc_port=port)
        client.wait_ready(timeout_s=15.0)
        assert client.server().name == "triton"


def test_an_order_goes_to_all_servers(serve: Any) -> None:
    explicit = ["--model-control-mode=explicit", "--load-model=*"]
    servers = [serve(*explicit, models=["echo", "faulty"]) for _ in range(2)]
    with EmotionClient([one.grpc_url for one in servers]) as client:
        assert set(client.unload("faulty")) == {one.grpc_url for one in servers}
        assert not client.is_ready("faulty")
        assert set(client.load("faulty")) == {one.grpc_url for one in servers}
        for one in servers:
            with EmotionClient(one.http_url) as each:
                assert each.is_ready("faulty")
        assert set(client.statistics("faulty")) == {one.grpc_url for one in servers}


def test_a_name_stands_for_all_its_addresses(small: Any, protocol: str) -> None:
    """`localhost` has an IPv6 address as well, where nobody listens: the other one is found."""
    port = getattr(small, f"{protocol}_url").rsplit(":", 1)[1]
    with EmotionClient(f"{protocol}+dns://localhost:{port}") as client:
        for _ in range(4):
            assert client.server().name == "triton"
        assert f"{protocol}://127.0.0.1:{port}" in client.endpoints


def test_a_name_is_looked_up_again_after_a_while() -> None:
    now = [0.0]
    pool = Pool(targets("grpc+dns://localhost:1"), lambda: now[0], lookup_s=5.0)
    assert pool.stale
    pool.update(pool.look_up())
    now[0] = 4.9
    assert not pool.stale
    now[0] = 5.1
    assert pool.stale


def test_a_name_that_leads_nowhere(protocol: str) -> None:
    with (
        EmotionClient(f"{protocol}+dns://no-such-host.invalid:1") as client,
        pytest.raises(UnreachableError, match="cannot look up"),
    ):
        client.server()

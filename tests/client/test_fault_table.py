"""Faults under load: how many calls were sent, how many failed, how often was tried again.

Two ways lead to one real Triton; one of them goes bad while four callers keep asking. The table
that it prints stands in docs/client.md.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest

from emoserve_client import AttemptEnd, EmoserveError, EmotionClient, Hook, Retry

CALLERS, BEFORE_S, FAULT_S, AFTER_S = 4, 0.5, 1.5, 0.5


class Attempts(Hook):
    """Counts attempts by how they ended."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()

    def attempt_ended(self, attempt: AttemptEnd) -> None:
        self.outcomes[attempt.outcome] += 1


def load(client: EmotionClient, fault: Any) -> tuple[int, list[EmoserveError], float]:
    """Calls while `fault(True)` and `fault(False)` begin and end it: sent, errors, slowest."""
    model, stop = client.model("faulty"), threading.Event()
    model.info()
    errors: list[EmoserveError] = []
    times: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            started = time.monotonic()
            try:
                model.infer(fault=["fine"], wait_s=[0.005])
            except EmoserveError as err:
                errors.append(err)
            times.append(time.monotonic() - started)

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for one in callers:
        one.start()
    time.sleep(BEFORE_S)
    fault(True)
    time.sleep(FAULT_S)
    fault(False)
    time.sleep(AFTER_S)
    stop.set()
    for one in callers:
        one.join()
    return len(times), errors, max(times)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("mode", ["reset", "stall", "garble", "cut"])
def test_a_fault_on_one_way_fails_no_call(mode: str, protocol: str, small: Any, proxy: Any) -> None:
    port = int(getattr(small, f"{protocol}_url").rsplit(":", 1)[1])
    ways = [proxy(port), proxy(port)]
    bad, attempts = ways[0], Attempts()

    def fault(begins: bool) -> None:
        if mode == "cut":
            bad.cut()
        else:
            bad.mode = mode if begins else "forward"
            bad.cut() if mode == "garble" else None

    client = EmotionClient(
        [f"{protocol}://127.0.0.1:{one.port}" for one in ways],
        attempt_timeout_s=0.5,
        timeout_s=10.0,
        retry=Retry(attempts=5, first_s=0.05),
        hooks=[attempts],
    )
    with client:
        sent, errors, slowest = load(client, fault)
        bad.cut()
    again = sum(count for outcome, count in attempts.outcomes.items() if outcome != "ok")
    print(
        f"\n| {mode} | {protocol} | {sent} | {len(errors)} | {again} | {slowest:.2f} |"
        f" {dict(attempts.outcomes)}"
    )
    assert errors == []
    assert sent > 50

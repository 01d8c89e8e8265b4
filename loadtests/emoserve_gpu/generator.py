"""The load: callers in a closed loop or Poisson arrivals, in processes of their own.

Latency of an arrival counts from the moment it was due, so that neither a stalled server nor a
late generator can hide (no coordinated omission). Inputs of 256 KiB and more go through shared
memory: 64 items of `speech_net` are 4.9 MB, and over gRPC that copying is what would be measured.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Barrier
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from emoserve_client import AsyncEmotionClient, EmoserveError, Retry

_HEAD_START_S = 0.1  # until every process has its order
_TIMEOUT_S = 30.0
_START_S = 60.0
_TRANSCRIPT = "What a day!"  # so that `video` needs no recogniser


@dataclass(frozen=True)
class Order:
    """What one process does; `rate_per_s` 0 is a closed loop. Times on the monotonic clock."""

    url: str
    model: str
    inputs: dict[str, Any]
    callers: int
    rate_per_s: float
    settle_s: float
    window_s: float
    begin_s: float = 0.0
    seed: int = 0


@dataclass
class Heard:
    """What came back inside the window: latencies, lateness of sending, errors by kind."""

    latency_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def times(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.latency_s, np.float64)


class Generator:
    """A pool of processes that put one load at a time on a server."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        spawn = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
        started = spawn.Barrier(processes + 1)
        self._pool = ProcessPoolExecutor(processes, spawn, _wait_at, (started,))
        for _ in range(processes):
            self._pool.submit(time.monotonic)  # each makes the pool start one more process
        started.wait(_START_S)

    def run(self, order: Order) -> Heard:
        """Return what the load of all processes together heard."""
        ways = min(self._processes, order.callers)
        begin_s = time.monotonic() + _HEAD_START_S
        share, more = divmod(order.callers, ways)
        orders = [
            replace(order, callers=share + (way < more), rate_per_s=order.rate_per_s / ways,
                    begin_s=begin_s, seed=way)
            for way in range(ways)
        ]  # fmt: skip
        heard = Heard()
        for part in self._pool.map(drive, orders):
            heard.latency_s += part.latency_s
            heard.late_s += part.late_s
            heard.errors += part.errors
        return heard

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()


def _wait_at(started: Barrier) -> None:
    """Wait until every process has imported what it needs: the first load must not be short."""
    started.wait(_START_S)


def drive(order: Order) -> Heard:
    """Return what one process heard."""
    return asyncio.run(_Drive(order).run())


class _Drive:
    """An order in progress."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._from_s = order.begin_s + order.settle_s
        self._until_s = self._from_s + order.window_s
        self._heard = Heard()

    async def run(self) -> Heard:
        order = self._order
        once = Retry(attempts=1)  # every failure must be seen
        async with AsyncEmotionClient(
            order.url, timeout_s=_TIMEOUT_S, video_timeout_s=_TIMEOUT_S, retry=once, hooks=(),
            shared_memory=True,
        ) as client:  # fmt: skip
            self._client, self._model = client, client.model(order.model)
            await asyncio.sleep(max(0.0, order.begin_s - time.monotonic()))
            if order.rate_per_s:
                await self._arrivals()
            else:
                await asyncio.gather(*(self._caller() for _ in range(order.callers)))
        return self._heard

    async def _caller(self) -> None:
        while (began_s := time.monotonic()) < self._until_s:
            problem = await self._ask()
            # Rates count the answers that end inside the window.
            self._note(began_s, time.monotonic(), problem, by_end=True)

    async def _arrivals(self) -> None:
        chance, due_s = np.random.default_rng(self._order.seed), self._order.begin_s
        sent = []
        while (due_s := due_s + chance.exponential(1 / self._order.rate_per_s)) < self._until_s:
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            sent.append(asyncio.ensure_future(self._arrival(due_s)))
        await asyncio.gather(*sent)

    async def _arrival(self, due_s: float) -> None:
        self._heard.late_s.append(time.monotonic() - due_s)
        problem = await self._ask()
        self._note(due_s, time.monotonic(), problem, by_end=False)

    async def _ask(self) -> str:
        """Send one request; return the kind of its error, or nothing."""
        inputs = self._order.inputs
        try:
            if "media" in inputs:
                await self._client.video(inputs["media"], transcript=_TRANSCRIPT)
            else:
                await self._model.infer(inputs)
        except EmoserveError as error:
            return type(error).__name__.removesuffix("Error")
        return ""

    def _note(self, began_s: float, ended_s: float, problem: str, *, by_end: bool) -> None:
        at_s = ended_s if by_end else began_s
        if not self._from_s <= at_s < self._until_s:
            return
        if problem:
            self._heard.errors[problem] += 1
        else:
            self._heard.latency_s.append(ended_s - began_s)

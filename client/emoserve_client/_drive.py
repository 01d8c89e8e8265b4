"""The two drivers: they perform a flow's effects, one in threads, one in asyncio."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from typing import Any, Generic, TypeVar

from emoserve_client._endpoint import Endpoint
from emoserve_client._flow import Ask, Effect, Emit, Flow, Next, Open, Pause, Race, Send, Work
from emoserve_client._message import Fault, Raw
from emoserve_client._transport import AsyncTransport, Connector, Transport

T = TypeVar("T")
R = TypeVar("R")


class _Transports(Generic[R]):
    """One transport for each server, made when it is first needed."""

    def __init__(self, connect: Callable[[Endpoint], R]) -> None:
        self._connect = connect
        self._made: dict[Endpoint, R] = {}
        self._lock, self._process = threading.Lock(), os.getpid()

    def to(self, endpoint: Endpoint) -> R:
        if os.getpid() != self._process:
            # A thread of the parent may have held the lock when this process was forked.
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            if endpoint not in self._made:
                self._made[endpoint] = self._connect(endpoint)
            return self._made[endpoint]

    def drain(self) -> list[R]:
        """All of them, to be closed."""
        made, self._made = list(self._made.values()), {}
        return made


class Driver:
    """Runs flows to their end in the calling thread."""

    def __init__(self, connector: Connector) -> None:
        self._transports: _Transports[Transport] = _Transports(connector.connect)

    def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        with closing(flow), ExitStack() as streams:
            return _finish(flow, lambda effect: self._perform(effect, streams))

    def iterate(self, flow: Flow[Any]) -> Generator[Any, None, None]:
        """What the flow emits; leaving the loop cancels its request."""
        with closing(flow), ExitStack() as streams:
            value: Any = None
            thrown: Exception | None = None
            while True:
                try:
                    effect = flow.send(value) if thrown is None else flow.throw(thrown)
                except StopIteration:
                    return
                value, thrown = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    value = self._perform(effect, streams)
                except Exception as err:  # noqa: BLE001 - handed to the flow, which decides
                    thrown = err

    def close(self) -> None:
        for transport in self._transports.drain():
            transport.close()

    def _perform(self, effect: Effect, streams: ExitStack) -> Any:
        if isinstance(effect, Send):
            return self._send(effect)
        if isinstance(effect, Race):
            return self._race(effect)
        if isinstance(effect, Open):
            send = effect.send
            transport = self._transports.to(send.endpoint)
            replies = transport.stream(send.message, timeout_s=send.timeout_s, headers=send.headers)
            streams.enter_context(closing(replies))
            return replies
        if isinstance(effect, Next):
            return next(effect.handle, None)
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        if isinstance(effect, Work | Ask):
            value = effect.function()
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError("a coroutine function needs the asynchronous client")
            return value
        raise TypeError(f"no such effect here: {effect}")

    def _send(self, send: Send) -> Raw:
        transport = self._transports.to(send.endpoint)
        return transport.unary(send.message, timeout_s=send.timeout_s, headers=send.headers)

    def _race(self, race: Race) -> tuple[int, Raw]:
        """Threads of its own for each race: a slow loser must not hold up the next one."""
        pool = ThreadPoolExecutor(len(race.sends), "emoserve-hedge")
        try:
            running: dict[Future[Raw], int] = {}
            fault: BaseException | None = None
            for index, send in enumerate(race.sends):
                running[pool.submit(self._send, send)] = index
                last = index == len(race.sends) - 1
                while running:
                    patience = None if last else race.stagger_s
                    done, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
                    for future in done:
                        at = running.pop(future)
                        if (fault := future.exception()) is None:
                            return at, future.result()
                    if not done:
                        break
            assert fault is not None
            raise fault
        finally:
            pool.shutdown(wait=False)


def _finish(flow: Flow[T], perform: Callable[[Effect], Any]) -> T:
    """Performs effect after effect until the flow returns."""
    try:
        effect = next(flow)
        while True:
            try:
                value = perform(effect)
            except Exception as err:  # noqa: BLE001 - handed to the flow, which decides
                effect = flow.throw(err)
            else:
                effect = flow.send(value)
    except StopIteration as done:
        result: T = done.value
        return result


class AsyncDriver:
    """Runs flows to their end in the event loop."""

    def __init__(self, connector: Connector) -> None:
        self._transports: _Transports[AsyncTransport] = _Transports(connector.connect_async)

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        streams: list[Any] = []
        try:
            effect = next(flow)
            while True:
                try:
                    value = await self._perform(effect, streams)
                except Exception as err:  # noqa: BLE001 - handed to the flow, which decides
                    effect = flow.throw(err)
                else:
                    effect = flow.send(value)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            flow.close()
            await _close_all(streams)

    async def iterate(self, flow: Flow[Any]) -> AsyncGenerator[Any, None]:
        """What the flow emits; leaving the loop cancels its request once the iterator closes."""
        streams: list[Any] = []
        try:
            value: Any = None
            thrown: Exception | None = None
            while True:
                try:
                    effect = flow.send(value) if thrown is None else flow.throw(thrown)
                except StopIteration:
                    return
                value, thrown = None, None
                if isinstance(effect, Emit):
                    yield effect.value
                    continue
                try:
                    value = await self._perform(effect, streams)
                except Exception as err:  # noqa: BLE001 - handed to the flow, which decides
                    thrown = err
        finally:
            flow.close()
            await _close_all(streams)

    async def close(self) -> None:
        for transport in self._transports.drain():
            await transport.close()

    async def _perform(self, effect: Effect, streams: list[Any]) -> Any:
        if isinstance(effect, Send):
            return await self._send(effect)
        if isinstance(effect, Race):
            return await self._race(effect)
        if isinstance(effect, Open):
            send = effect.send
            transport = self._transports.to(send.endpoint)
            streams.append(
                transport.stream(send.message, timeout_s=send.timeout_s, headers=send.headers)
            )
            return streams[-1]
        if isinstance(effect, Next):
            return await anext(effect.handle, None)
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, Work):
            return await asyncio.to_thread(effect.function)
        if isinstance(effect, Ask):
            value = effect.function()
            return await value if inspect.isawaitable(value) else value
        raise TypeError(f"no such effect here: {effect}")

    async def _send(self, send: Send) -> Raw:
        transport = self._transports.to(send.endpoint)
        return await transport.unary(send.message, timeout_s=send.timeout_s, headers=send.headers)

    async def _race(self, race: Race) -> tuple[int, Raw]:
        running: dict[asyncio.Task[Raw], int] = {}
        fault: Fault | None = None
        try:
            for index, send in enumerate(race.sends):
                running[asyncio.ensure_future(self._send(send))] = index
                last = index == len(race.sends) - 1
                while running:
                    done, _ = await asyncio.wait(
                        running,
                        timeout=None if last else race.stagger_s,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for task in done:
                        at = running.pop(task)
                        try:
                            return at, task.result()
                        except Fault as err:
                            fault = err
                    if not done:
                        break
            assert fault is not None
            raise fault
        finally:
            for task in running:
                task.cancel()


async def _close_all(streams: list[Any]) -> None:
    for stream in streams:
        await stream.aclose()

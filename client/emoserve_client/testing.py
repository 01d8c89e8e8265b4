"""A server that is none: for the tests of code that calls emoserve.

>>> from emoserve_client import OverloadedError
>>> from emoserve_client.testing import FakeServer
>>> fake = FakeServer()
>>> client = fake.client()
>>> client.text("What a wonderful day!").emotions.top.label
'sadness'
>>> fake.fail(OverloadedError, times=2)
>>> client.text("Tried three times.").sentiments.top.label
'negative'
>>> [call.model for call in fake.calls]
['text', 'text', 'text', 'text']

It takes the requests that a Triton takes, byte for byte, and answers as docs/contracts.md says.
The answers are not emotions: they are drawn from a hash of the input, the same for the same input
on every machine. `fail`, `delay` and `model` play what a server may do.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emoserve_client._async_client import AsyncEmotionClient
from emoserve_client._client import EmotionClient
from emoserve_client._endpoint import Endpoint
from emoserve_client._fake_protocol import answer_messages, request_of
from emoserve_client._message import Fault, Kind, Message, Raw
from emoserve_client._tensors import Array
from emoserve_client.errors import (
    AccessDeniedError,
    DeadlineError,
    EmoserveError,
    InputError,
    ModelNotFoundError,
    NoAnswerError,
    OverloadedError,
    ServerError,
    UnreachableError,
    UntrustedError,
    WrongAnswerError,
)

__all__ = ["FakeServer", "ReceivedCall"]

ModelFunction = Callable[
    [Mapping[str, Array]], "Mapping[str, Array] | Iterator[Mapping[str, Array]]"
]

_FAULTS: dict[type[EmoserveError], Kind] = {
    InputError: Kind.INVALID,
    ModelNotFoundError: Kind.NOT_FOUND,
    AccessDeniedError: Kind.DENIED,
    UntrustedError: Kind.UNTRUSTED,
    WrongAnswerError: Kind.GARBLED,
    ServerError: Kind.FAILED,
    UnreachableError: Kind.UNREACHABLE,
    DeadlineError: Kind.TIMEOUT,
    OverloadedError: Kind.BUSY,
    NoAnswerError: Kind.RESET,
}


@dataclass(frozen=True)
class ReceivedCall:
    """One request as the server saw it."""

    operation: str
    model: str
    inputs: Mapping[str, Array] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float | None
    endpoint: str


@dataclass
class _Plan:
    """What happens to the next requests instead of, or before, an answer."""

    fault: Fault | None
    delay_s: float
    after_replies: int


class FakeServer:
    """Stands in for a Triton with the emotion pipelines; thread-safe as a list is."""

    def __init__(self) -> None:
        self.calls: list[ReceivedCall] = []
        self.models: dict[str, ModelFunction] = {}
        self.cancelled = 0
        self._plans: deque[_Plan] = deque()

    def client(self, url: str | Sequence[str] = "grpc://fake", **options: Any) -> EmotionClient:
        """A client of this server; takes the options of `EmotionClient`."""
        return EmotionClient(url, connector=self, **options)

    def async_client(
        self, url: str | Sequence[str] = "grpc://fake", **options: Any
    ) -> AsyncEmotionClient:
        """The same for asyncio."""
        return AsyncEmotionClient(url, connector=self, **options)

    def fail(
        self,
        error: type[EmoserveError],
        message: str = "played by the fake server",
        *,
        times: int = 1,
        retry_after_s: float | None = None,
        after_replies: int = 0,
    ) -> None:
        """The next `times` requests end so that, retried no further, they raise `error`.

        Args:
            error: a class of `emoserve_client.errors`.
            message: what the server says; for `InputError` it may start with `[reason] `.
            times: how many requests, counting the attempts that the client makes itself.
            retry_after_s: how long the server wants to be left alone.
            after_replies: a stream sends so many replies first.
        """
        fault = Fault(_FAULTS[error], message, pushback_s=retry_after_s)
        self._plans += [_Plan(fault, 0.0, after_replies)] * times

    def delay(self, seconds: float, *, times: int = 1) -> None:
        """The next `times` requests, or each reply of a stream, take so long."""
        self._plans += [_Plan(None, seconds, 0)] * times

    def model(self, name: str, function: ModelFunction) -> None:
        """Serves one more model, or replaces a pipeline.

        `function` takes the inputs by name and returns the outputs by name, or yields several of
        them for a stream. It may raise `InputError` or `ServerError`.
        """
        self.models[name] = function

    def connect(self, endpoint: Endpoint) -> _FakeTransport:
        """For the client: a connection to this server."""
        return _FakeTransport(self, endpoint)

    def connect_async(self, endpoint: Endpoint) -> _AsyncFakeTransport:
        """For the client: a connection to this server."""
        return _AsyncFakeTransport(self, endpoint)

    def _receive(
        self,
        message: Message[Any],
        endpoint: Endpoint,
        timeout_s: float | None,
        headers: Mapping[str, str],
    ) -> tuple[_Plan, Iterator[bytes]]:
        operation, model, inputs = request_of(message)
        sent = {**message.headers, **headers}
        call = ReceivedCall(operation, model, inputs, sent, timeout_s, str(endpoint))
        self.calls.append(call)
        plan = self._plans.popleft() if self._plans else _Plan(None, 0.0, 0)
        return plan, answer_messages(message, self.models)


def _wait_s(plan: _Plan, timeout_s: float | None) -> float:
    """How long to wait before the reply: never past the deadline, as over a network."""
    return plan.delay_s if timeout_s is None else min(plan.delay_s, max(timeout_s, 0.0))


def _check(plan: _Plan, timeout_s: float | None, replies: int) -> None:
    if plan.fault is not None and replies >= plan.after_replies:
        raise plan.fault
    if timeout_s is not None and plan.delay_s >= timeout_s:
        raise Fault(Kind.TIMEOUT, f"no answer within {timeout_s:.3g} s")


class _FakeTransport:
    def __init__(self, server: FakeServer, endpoint: Endpoint) -> None:
        self._server, self._endpoint = server, endpoint

    def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        plan, replies = self._server._receive(message, self._endpoint, timeout_s, headers)
        time.sleep(_wait_s(plan, timeout_s))
        _check(plan, timeout_s, 0)
        return Raw(next(replies))

    def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Generator[Raw, None, None]:
        plan, replies = self._server._receive(message, self._endpoint, timeout_s, headers)
        count = 0
        try:
            for reply in replies:
                time.sleep(_wait_s(plan, timeout_s))
                _check(plan, timeout_s, count)
                yield Raw(reply)
                count += 1
        except GeneratorExit:
            self._server.cancelled += 1
            raise

    def close(self) -> None:
        """Nothing is open."""


class _AsyncFakeTransport:
    def __init__(self, server: FakeServer, endpoint: Endpoint) -> None:
        self._server, self._endpoint = server, endpoint

    async def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        plan, replies = self._server._receive(message, self._endpoint, timeout_s, headers)
        await asyncio.sleep(_wait_s(plan, timeout_s))
        _check(plan, timeout_s, 0)
        return Raw(next(replies))

    async def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> AsyncGenerator[Raw, None]:
        plan, replies = self._server._receive(message, self._endpoint, timeout_s, headers)
        count = 0
        try:
            for reply in replies:
                await asyncio.sleep(_wait_s(plan, timeout_s))
                _check(plan, timeout_s, count)
                yield Raw(reply)
                count += 1
        except GeneratorExit:
            self._server.cancelled += 1
            raise

    async def close(self) -> None:
        """Nothing is open."""

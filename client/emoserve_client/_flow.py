"""How a call's logic asks for I/O without doing any: it yields effects, a driver performs them.

A flow is a generator: `reply = yield from send(...)`. The same flow runs under the synchronous
driver and under asyncio (`_drive.py`), so there is one copy of every decision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from emoserve_client._endpoint import Endpoint
from emoserve_client._message import Message, Raw

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send to one server. Gives the Raw reply, or throws a Fault."""

    endpoint: Endpoint
    message: Message[Any]
    timeout_s: float | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Race:
    """Send the first; each time `stagger_s` passes without a reply, send the next as well.

    Gives the index of the first good reply and the reply; throws the last Fault when all fail.
    """

    sends: tuple[Send, ...]
    stagger_s: float


@dataclass(frozen=True)
class Open:
    """Start a stream. Gives its handle."""

    send: Send


@dataclass(frozen=True)
class Next:
    """Gives the stream's next Raw reply, None at its end, or throws a Fault."""

    handle: Any


@dataclass(frozen=True)
class Emit:
    """Hand a value to the caller who iterates over the flow."""

    value: Any


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that blocks: read a file, look up a name, encode a picture."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Ask:
    """Call a function of the caller's, which may be a coroutine function."""

    function: Callable[[], Any | Awaitable[Any]]


Effect = Send | Race | Open | Next | Emit | Pause | Work | Ask
Flow = Generator[Effect, Any, T]


def send(effect: Send) -> Flow[Raw]:
    """The reply to one send."""
    raw: Raw = yield effect
    return raw


def race(effect: Race) -> Flow[tuple[int, Raw]]:
    """The first good reply, and which send it answers."""
    won: tuple[int, Raw] = yield effect
    return won


def following(handle: Any) -> Flow[Raw | None]:
    """The stream's next reply."""
    raw: Raw | None = yield Next(handle)
    return raw


def work(function: Callable[[], T]) -> Flow[T]:
    """What the blocking function returns."""
    value: T = yield Work(function)
    return value


def ask(function: Callable[[], T | Awaitable[T]]) -> Flow[T]:
    """What the caller's function returns, awaited if need be."""
    value: T = yield Ask(function)
    return value


def pause(seconds: float) -> Flow[None]:
    """Returns after `seconds`."""
    yield Pause(seconds)


def emit(value: object) -> Flow[None]:
    """Hands `value` to the caller."""
    yield Emit(value)

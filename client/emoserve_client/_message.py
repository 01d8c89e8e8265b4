"""What travels between the logic and the transports: messages out, raw replies or faults back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")
Buffer = bytes | memoryview


@dataclass(frozen=True)
class Raw:
    """A reply as it came: the body, and the headers that say how to read it (lower case)."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Message(Generic[T]):
    """One request, ready to send any number of times: all its bytes are made.

    `method` is an HTTP verb, or `unary` or `stream` for gRPC; `path` is the part of the address
    after the host. `parts` are sent one after the other and are never copied together by us.
    """

    method: str
    path: str
    parts: tuple[Buffer, ...]
    decode: Callable[[Raw], T] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(len(part) for part in self.parts)

    def then(self, read: Callable[[T], U]) -> Message[U]:
        """The same message, whose answer is read further."""
        first = self.decode
        made = replace(cast("Message[Any]", self), decode=lambda raw: read(first(raw)))
        return cast("Message[U]", made)

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}, {self.size_bytes} bytes>"


class Kind(Enum):
    """How a send ended when it did not end well, the same for gRPC and HTTP."""

    INVALID = "invalid request"
    NOT_FOUND = "not found"
    DENIED = "denied"
    UNTRUSTED = "certificate not accepted"
    UNSUPPORTED = "not supported"
    FAILED = "failed"
    GARBLED = "not readable"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    BUSY = "overloaded"
    RESET = "connection lost"
    CANCELLED = "cancelled by the server"
    TIMEOUT = "timed out"

    @property
    def answered(self) -> bool:
        """True when the server took the request and said no: sending it again is of no use."""
        return self in _ANSWERED


_ANSWERED = {
    Kind.INVALID,
    Kind.NOT_FOUND,
    Kind.DENIED,
    Kind.UNTRUSTED,
    Kind.UNSUPPORTED,
    Kind.FAILED,
    Kind.GARBLED,
}


class Fault(Exception):  # noqa: N818 - what the caller sees is an EmoserveError
    """A send that did not end well. Never leaves the package: the caller sees an EmoserveError.

    `pushback_s` is how long the server wants to be left alone; negative: do not come back.
    """

    def __init__(self, kind: Kind, message: str, *, pushback_s: float | None = None) -> None:
        super().__init__(f"{kind.value}: {message}")
        self.kind = kind
        self.message = message
        self.pushback_s = pushback_s

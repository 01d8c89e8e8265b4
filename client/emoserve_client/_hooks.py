"""What a client tells those who watch it: one event as something begins, one as it ends."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field

from emoserve_client.errors import EmoserveError


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the user's, however many attempts it takes."""

    operation: str
    model: str
    request_id: str
    size_bytes: int


@dataclass(frozen=True, eq=False)
class AttemptStart:
    """One send is about to go out; `headers` may be added to (traceparent, ...)."""

    call: Call
    number: int
    endpoint: str
    headers: MutableMapping[str, str] = field(repr=False)


@dataclass(frozen=True, eq=False)
class AttemptEnd:
    """One send has ended; `outcome` is `ok` or one of a few words, `message` says more."""

    call: Call
    number: int
    endpoint: str
    outcome: str
    message: str
    elapsed_s: float


@dataclass(frozen=True, eq=False)
class CallEnd:
    """The call has ended; `error` is None when it was answered."""

    call: Call
    attempts: int
    elapsed_s: float
    error: EmoserveError | None = None


class Hook:
    """Override what you want to know; all are called in the thread or task of the call."""

    def call_started(self, call: Call) -> None:
        """A call of the user's begins."""

    def attempt_started(self, attempt: AttemptStart) -> None:
        """A send is about to go out; its headers may be added to."""

    def attempt_ended(self, attempt: AttemptEnd) -> None:
        """A send has ended."""

    def call_ended(self, end: CallEnd) -> None:
        """The call has ended; always comes, whatever happened."""

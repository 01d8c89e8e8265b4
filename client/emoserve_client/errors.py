"""The errors that a caller can act on.

::

    EmoserveError                 carries model, request_id, endpoint, attempts, hint
    ├── InputError                your input is wrong: reason, message
    ├── ServerError               the server refused or failed
    │   ├── ModelNotFoundError    it does not serve that model or version
    │   ├── AccessDeniedError     it wants a key or a token
    │   ├── UntrustedError        its certificate, or yours, is not accepted
    │   └── WrongAnswerError      its answer does not follow the contract
    └── NoAnswerError             no answer came: safe to send again
        ├── UnreachableError      nothing answers at that address
        ├── DeadlineError         the time given for the call ran out
        ├── OverloadedError       it has more requests than it takes
        └── CircuitOpenError      not sent: the last calls failed, the breaker waits

An `InputError` found before sending has no endpoint and no attempts; the others tell each try.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One try of a call: where it went, how it ended, how long it took."""

    endpoint: str
    outcome: str
    elapsed_s: float

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.outcome} after {self.elapsed_s:.2f} s"


class EmoserveError(Exception):
    """Anything that this package raises about a call."""

    def __init__(
        self,
        message: str,
        *,
        model: str | None = None,
        request_id: str | None = None,
        endpoint: str | None = None,
        attempts: tuple[Attempt, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.model = model
        self.request_id = request_id
        self.endpoint = endpoint
        self.attempts = attempts
        self.hint = hint

    def __str__(self) -> str:
        """The message, where it happened, and what to do; one fact a line."""
        lines = [self.message]
        where = [f"model {self.model}" if self.model else "", self.endpoint or ""]
        where.append(f"request {self.request_id}" if self.request_id else "")
        if any(where):
            lines.append("  at " + ", ".join(part for part in where if part))
        if len(self.attempts) > 1:
            lines += [f"  try {number}: {one}" for number, one in enumerate(self.attempts, 1)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost on the way through a process pool.
        return (_rebuild, (type(self), self.message), self.__dict__)


class InputError(EmoserveError):
    """Your input is wrong: `reason` is one word for programs, `message` says what came."""

    def __init__(self, message: str, *, reason: str = "invalid", **facts: object) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.reason = reason


class ServerError(EmoserveError):
    """The server refused or failed; the same request would most likely fail again."""


class ModelNotFoundError(ServerError):
    """The server does not serve that model or version."""


class AccessDeniedError(ServerError):
    """The server wants a key or a token that did not come."""


class UntrustedError(ServerError):
    """The server's certificate is not accepted here, or yours is not accepted there."""


class WrongAnswerError(ServerError):
    """The answer does not follow the contract: another server, or another version of it."""


class NoAnswerError(EmoserveError):
    """No answer came; it is safe to send the request again."""


class UnreachableError(NoAnswerError):
    """Nothing answers at that address."""


class DeadlineError(NoAnswerError):
    """The time given for the call ran out."""


class OverloadedError(NoAnswerError):
    """The server has more requests than it takes; `retry_after_s` is its wish, if it said one."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, **facts: object
    ) -> None:
        super().__init__(message, **facts)  # type: ignore[arg-type]
        self.retry_after_s = retry_after_s


class CircuitOpenError(NoAnswerError):
    """Not sent: the last calls failed, and the breaker waits before it lets one through."""


def _rebuild(kind: type[EmoserveError], message: str) -> EmoserveError:
    return kind(message)

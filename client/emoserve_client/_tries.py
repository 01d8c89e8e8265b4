"""The attempts of one call: where each goes, whether another follows, what the caller is told.

This is the only place where a fault becomes an error of the caller's.
"""

from __future__ import annotations

import logging
from typing import Any

from emoserve_client._endpoint import Endpoint
from emoserve_client._faults import reason_of
from emoserve_client._flow import Flow, Send
from emoserve_client._hooks import AttemptEnd, AttemptStart, Call, CallEnd
from emoserve_client._message import Fault, Kind, Message
from emoserve_client._session import START_HINT, Session
from emoserve_client.errors import (
    AccessDeniedError,
    Attempt,
    CircuitOpenError,
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

log = logging.getLogger("emoserve_client")

_ERRORS: dict[Kind, tuple[type[EmoserveError], str | None]] = {
    Kind.INVALID: (InputError, None),
    Kind.NOT_FOUND: (ModelNotFoundError, "see what it serves with: emoserve models"),
    Kind.DENIED: (AccessDeniedError, "give a token as `auth`, or a key as `restricted`"),
    Kind.UNTRUSTED: (UntrustedError, "give the certificates as `tls=Tls(ca=..., ...)`"),
    Kind.UNSUPPORTED: (ServerError, None),
    Kind.FAILED: (ServerError, None),
    Kind.GARBLED: (
        WrongAnswerError,
        "is that a Triton server, and the right port for the protocol?",
    ),
    Kind.UNREACHABLE: (UnreachableError, START_HINT),
    Kind.UNAVAILABLE: (NoAnswerError, None),
    Kind.BUSY: (OverloadedError, None),
    Kind.RESET: (NoAnswerError, None),
    Kind.CANCELLED: (NoAnswerError, None),
    Kind.TIMEOUT: (DeadlineError, "give the call more time with `timeout_s`"),
}
# Says nothing about the health of the server itself.
_BLAMELESS = {Kind.BUSY}


class Tries:
    """The attempts of one call: where the next one goes, and whether there is a next one."""

    def __init__(self, session: Session, call: Call, timeout_s: float | None) -> None:
        self.session, self.call = session, call
        self.history: list[Attempt] = []
        self.tried: set[Endpoint] = set()
        self.denied = False
        self._started = session.clock()
        self._end = None if timeout_s is None else self._started + timeout_s
        session.budget.deposit()
        for hook in session.settings.hooks:
            hook.call_started(call)

    def remaining_s(self) -> float | None:
        return None if self._end is None else self._end - self.session.clock()

    def begin(self, message: Message[Any]) -> Flow[Send]:
        """The next send, with its server, its headers and the time it has."""
        session = self.session
        yield from session.refresh()
        headers = yield from session.headers()
        endpoint = session.pool.take(self.tried)
        self.tried.add(endpoint)
        remaining = self.remaining_s()
        if remaining is not None and remaining <= 0:
            session.pool.done(endpoint, answered=None)
            raise self.error(Fault(Kind.TIMEOUT, "no time was left to send the call"), endpoint)
        limits = [one for one in (remaining, session.settings.attempt_timeout_s) if one is not None]
        headers["x-request-id"] = self.call.request_id
        start = AttemptStart(self.call, len(self.history) + 1, str(endpoint), headers)
        for hook in session.settings.hooks:
            hook.attempt_started(start)
        return Send(endpoint, message, min(limits, default=None), headers)

    def end(self, send: Send, since: float, fault: Fault | None) -> None:
        """Notes how a send ended."""
        session = self.session
        outcome = "ok" if fault is None else str(fault)
        elapsed = session.clock() - since
        answered = None if fault and fault.kind in _BLAMELESS else not fault or fault.kind.answered
        session.pool.done(send.endpoint, answered=answered)
        self.history.append(Attempt(str(send.endpoint), outcome, elapsed))
        end = AttemptEnd(
            self.call,
            len(self.history),
            str(send.endpoint),
            fault.kind.value if fault else "ok",
            fault.message if fault else "",
            elapsed,
        )
        for hook in session.settings.hooks:
            hook.attempt_ended(end)
        self._log(fault, self.history[-1])

    def _log(self, fault: Fault | None, attempt: Attempt) -> None:
        """One line for people, its facts as fields for programs. Headers are never logged."""
        facts = {
            "operation": self.call.operation,
            "model": self.call.model,
            "request_id": self.call.request_id,
            "endpoint": attempt.endpoint,
            "attempt": len(self.history),
            "elapsed_s": round(attempt.elapsed_s, 4),
            "outcome": attempt.outcome,
        }
        level = logging.DEBUG if fault is None else logging.INFO
        log.log(level, "%(operation)s %(model)s: %(outcome)s", facts, extra=facts)

    def wait_s(self, fault: Fault, endpoint: Endpoint) -> float:
        """How long to wait before the next attempt.

        Raises:
            EmoserveError: there is none.
        """
        retries, policy = len(self.history) - 1, self.session.settings.retry
        if not self._may_retry(fault) or retries + 1 >= policy.attempts:
            raise self.error(fault, endpoint) from fault
        wait = policy.backoff_s(retries, self.session.uniform)
        if fault.pushback_s is not None:
            if not 0 <= fault.pushback_s <= policy.pushback_cap_s:
                raise self.error(fault, endpoint) from fault
            wait = fault.pushback_s
        elif self.session.pool.has_fresh(self.tried):
            wait = 0.0  # another server may answer at once
        remaining = self.remaining_s()
        if remaining is not None and wait >= remaining:
            raise self.error(fault, endpoint) from fault
        if not self.session.budget.withdraw():
            raise self.error(
                fault, endpoint, hint="not tried again: the retry budget is spent"
            ) from fault
        return wait

    def _may_retry(self, fault: Fault) -> bool:
        if fault.kind is Kind.DENIED and callable(self.session.settings.auth) and not self.denied:
            self.denied = True  # the token may have run out on the way: ask for one more
            return True
        if fault.kind is Kind.TIMEOUT:
            remaining = self.remaining_s()
            return remaining is None or remaining > 0
        return not fault.kind.answered

    def error(
        self, fault: Fault, endpoint: Endpoint | None, *, hint: str | None = None
    ) -> EmoserveError:
        """What the caller sees of `fault`."""
        kind, usual_hint = _ERRORS[fault.kind]
        hung_up = fault.kind in (Kind.RESET, Kind.UNREACHABLE) and "refused" not in fault.message
        if hung_up and endpoint is not None and endpoint.secure:
            # With TLS 1.3 a server that misses the caller's certificate just hangs up.
            usual_hint = "does it want your certificate? `tls=Tls(certificate=..., key=...)`"
        reason, message = reason_of(fault.message)
        if kind is InputError:
            made: EmoserveError = InputError(message, reason=reason or "invalid")
        elif kind is OverloadedError:
            made = OverloadedError(message, retry_after_s=fault.pushback_s)
        elif fault.kind is Kind.NOT_FOUND and "model" not in fault.message:
            made = ServerError(message)
        else:
            made = kind(_sentence(fault, endpoint))
        self.fill(made, endpoint, hint or (usual_hint if type(made) is kind else None))
        return made

    def fill(
        self, error: EmoserveError, endpoint: Endpoint | None, hint: str | None = None
    ) -> None:
        """Writes into `error` where and when it happened."""
        error.model = self.call.model or None
        error.request_id = self.call.request_id
        error.endpoint = str(endpoint) if endpoint else None
        error.attempts = tuple(self.history)
        error.hint = error.hint or hint

    def finish(self, error: EmoserveError | None) -> None:
        """Tells those who watch, and the breaker, how the call ended."""
        if self.session.circuit is not None and not isinstance(error, CircuitOpenError):
            self.session.circuit.report(answered=not isinstance(error, NoAnswerError))
        end = CallEnd(self.call, len(self.history), self.session.clock() - self._started, error)
        for hook in self.session.settings.hooks:
            hook.call_ended(end)


def _sentence(fault: Fault, endpoint: Endpoint | None) -> str:
    if fault.kind is Kind.UNREACHABLE:
        return f"no server answers at {endpoint}"
    if fault.kind in (Kind.UNAVAILABLE, Kind.RESET, Kind.CANCELLED, Kind.GARBLED, Kind.UNTRUSTED):
        return f"{fault.kind.value}: {fault.message}"
    return fault.message

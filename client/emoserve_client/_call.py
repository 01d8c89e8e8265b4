"""One call: sent, sent again where that is safe, under one deadline, in view of the hooks."""

from __future__ import annotations

from typing import Any, TypeVar

from emoserve_client._flow import Flow, Open, Race, Send, emit, following, pause, race
from emoserve_client._hooks import Call
from emoserve_client._message import Fault, Message, Raw
from emoserve_client._session import Session
from emoserve_client._tries import Tries
from emoserve_client.errors import CircuitOpenError, EmoserveError

T = TypeVar("T")


def call(session: Session, message: Message[T], facts: Call, timeout_s: float | None) -> Flow[T]:
    """What the server answers to `message`; one call, however many attempts."""
    tries = Tries(session, facts, timeout_s)
    try:
        _check_circuit(session, tries)
        answer = yield from _attempts(session, tries, message)
    except EmoserveError as err:
        if err.request_id is None:
            tries.fill(err, None)
        tries.finish(err)
        raise
    tries.finish(None)
    return answer


def _check_circuit(session: Session, tries: Tries) -> None:
    if session.circuit is None or not (wait := session.circuit.wait_s()):
        return
    raise CircuitOpenError(f"not sent: the last calls had no answer; next try in {wait:.1f} s")


def _attempts(session: Session, tries: Tries, message: Message[T]) -> Flow[T]:
    while True:
        send = yield from tries.begin(message)
        since = session.clock()
        try:
            won, raw = yield from _one_send(session, tries, send)
            answer = message.decode(raw)
        except Fault as fault:
            tries.end(send, since, fault)
            wait = tries.wait_s(fault, send.endpoint)
        except EmoserveError as err:
            tries.end(send, since, None)
            tries.fill(err, send.endpoint)
            raise
        else:
            tries.end(won, since, None)
            return answer
        yield from pause(wait)


def _one_send(session: Session, tries: Tries, send: Send) -> Flow[tuple[Send, Raw]]:
    """The reply, and the send that got it: the first, or the hedge."""
    stagger_s = session.settings.hedge_after_s
    if stagger_s is None:
        raw: Raw = yield send
        return send, raw
    other = session.pool.take({send.endpoint})
    sends = (send, Send(other, send.message, send.timeout_s, send.headers))
    index = 0
    try:
        index, raw = yield from race(Race(sends, stagger_s))
    finally:
        # The loser says nothing: it was not waited for.
        session.pool.done(sends[1 - index].endpoint, answered=None)
    return sends[index], raw


def stream(
    session: Session,
    message: Message[Any],
    facts: Call,
    timeout_s: float | None,
    *,
    replayable: bool = False,
) -> Flow[None]:
    """Emits what the server streams.

    When the stream breaks it is asked for again only while nothing was emitted, or where the
    server would say the same again (`replayable`): then what was emitted is passed over.
    """
    tries = Tries(session, facts, timeout_s)
    try:
        _check_circuit(session, tries)
        yield from _stream_attempts(session, tries, message, replayable)
    except EmoserveError as err:
        if err.request_id is None:
            tries.fill(err, None)
        tries.finish(err)
        raise
    except GeneratorExit:
        tries.finish(None)
        raise
    tries.finish(None)


def _stream_attempts(
    session: Session, tries: Tries, message: Message[Any], replayable: bool
) -> Flow[None]:
    emitted = 0
    while True:
        send = yield from tries.begin(message)
        since, seen = session.clock(), 0
        try:
            handle = yield Open(send)
            while (raw := (yield from following(handle))) is not None:
                if (value := message.decode(raw)) is None:
                    continue
                seen += 1
                if seen > emitted:
                    emitted += 1
                    yield from emit(value)
        except Fault as fault:
            tries.end(send, since, fault)
            if emitted and not replayable:
                raise tries.error(fault, send.endpoint) from fault
            wait = tries.wait_s(fault, send.endpoint)
        except EmoserveError as err:
            tries.end(send, since, None)
            tries.fill(err, send.endpoint)
            raise
        except GeneratorExit:
            tries.end(send, since, None)
            raise
        else:
            tries.end(send, since, None)
            return
        yield from pause(wait)


def each(
    session: Session, message: Message[T], facts: Call, timeout_s: float | None
) -> Flow[dict[str, T]]:
    """What every server of the client answers, by address: an order goes to all of them.

    Raises:
        EmoserveError: one of them did not; its `endpoint` says which.
    """
    yield from session.refresh()
    answers = {}
    for endpoint in session.pool.endpoints:
        headers = yield from session.headers()
        tries = Tries(session, facts, timeout_s)
        try:
            raw: Raw = yield Send(endpoint, message, timeout_s, headers)
            answers[str(endpoint)] = message.decode(raw)
        except Fault as fault:
            error = tries.error(fault, endpoint)
            tries.finish(error)
            raise error from fault
        tries.finish(None)
    return answers

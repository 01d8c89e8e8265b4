"""Questions and orders to the server itself, as flows."""

from __future__ import annotations

from emoserve_client._call import call, each
from emoserve_client._flow import Flow, pause
from emoserve_client._hooks import Call
from emoserve_client._metadata import ModelState, ModelStatistics, ServerInfo
from emoserve_client._session import START_HINT, Session
from emoserve_client.errors import DeadlineError, EmoserveError

_PROBE_TIMEOUT_S = 5.0
_PROBE_EVERY_S = 0.2


def server(session: Session, timeout_s: float | None) -> Flow[ServerInfo]:
    """The flow of `EmotionClient.server`."""
    facts = _facts(session, "server")
    return (yield from call(session, session.wire.server(), facts, timeout_s))


def models(session: Session, timeout_s: float | None) -> Flow[tuple[ModelState, ...]]:
    """The flow of `EmotionClient.models`."""
    facts = _facts(session, "models")
    return (yield from call(session, session.wire.index(), facts, timeout_s))


def statistics(
    session: Session, model: str, version: str, timeout_s: float | None
) -> Flow[dict[str, tuple[ModelStatistics, ...]]]:
    """The flow of `EmotionClient.statistics`."""
    message = session.wire.statistics(model, version)
    return (yield from each(session, message, _facts(session, "statistics", model), timeout_s))


def is_ready(session: Session, model: str, version: str) -> Flow[bool]:
    """The flow of `EmotionClient.is_ready`."""
    message = session.wire.ready(model, version)
    try:
        return (
            yield from call(session, message, _facts(session, "ready", model), _PROBE_TIMEOUT_S)
        )
    except EmoserveError:
        return False


def wait_ready(session: Session, model: str, timeout_s: float) -> Flow[None]:
    """The flow of `EmotionClient.wait_ready`."""
    end = session.clock() + timeout_s
    while not (yield from is_ready(session, model, "")):
        if session.clock() > end:
            what = f"the model {model}" if model else "the server"
            raise DeadlineError(
                f"{what} at {session.url} is not ready after {timeout_s:.0f} s", hint=START_HINT
            )
        yield from pause(_PROBE_EVERY_S)


def load(session: Session, model: str, timeout_s: float | None) -> Flow[tuple[str, ...]]:
    """The flow of `EmotionClient.load`."""
    message = session.wire.load(model)
    return tuple((yield from each(session, message, _facts(session, "load", model), timeout_s)))


def unload(session: Session, model: str, timeout_s: float | None) -> Flow[tuple[str, ...]]:
    """The flow of `EmotionClient.unload`."""
    message = session.wire.unload(model)
    return tuple((yield from each(session, message, _facts(session, "unload", model), timeout_s)))


def _facts(session: Session, operation: str, model: str = "") -> Call:
    return Call(operation, model, session.new_id(), 0)

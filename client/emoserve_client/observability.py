"""Watching a client: OpenTelemetry spans, Prometheus metrics.

>>> from emoserve_client import EmotionClient
>>> from emoserve_client.observability import OpenTelemetry, Prometheus
>>> client = EmotionClient(hooks=[OpenTelemetry(), Prometheus()])

Where opentelemetry-api is installed, a client without `hooks` has `OpenTelemetry()` already; an
empty list turns that off. A hook of your own derives from `emoserve_client.Hook`.

The log is the logger `emoserve_client`: one line an attempt, DEBUG when it went well and INFO when
not, with `operation`, `model`, `request_id`, `endpoint`, `attempt`, `elapsed_s` and `outcome` as
fields of the record. Headers are never logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from emoserve_client._hooks import AttemptEnd, AttemptStart, Call, CallEnd, Hook
from emoserve_client._version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

__all__ = ["OpenTelemetry", "Prometheus"]


class OpenTelemetry(Hook):
    """A span for each call, a child span for each attempt, `traceparent` with each request.

    Triton continues the trace when it runs with `--trace-config mode=opentelemetry`.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        from opentelemetry import propagate, trace

        self._trace, self._propagate = trace, propagate
        self._tracer = trace.get_tracer("emoserve_client", __version__, tracer_provider)
        self._calls: dict[Call, Any] = {}
        self._attempts: dict[Call, Any] = {}

    def call_started(self, call: Call) -> None:
        """Opens the call's span."""
        name = f"emoserve {call.operation} {call.model}".rstrip()
        self._calls[call] = self._tracer.start_span(name, attributes=_facts(call))

    def attempt_started(self, attempt: AttemptStart) -> None:
        """Opens the attempt's span, and sends its context along."""
        call = attempt.call
        context = self._trace.set_span_in_context(self._calls[call])
        address = urlsplit(attempt.endpoint)
        span = self._tracer.start_span(
            f"{call.operation} {call.model}".rstrip(),
            context,
            self._trace.SpanKind.CLIENT,
            attributes={
                **_facts(call),
                "emoserve.attempt": attempt.number,
                "server.address": address.hostname or "",
                "server.port": address.port or 0,
                "network.protocol.name": address.scheme,
            },
        )
        self._attempts[call] = span
        self._propagate.inject(attempt.headers, self._trace.set_span_in_context(span))

    def attempt_ended(self, attempt: AttemptEnd) -> None:
        """Closes the attempt's span."""
        span = self._attempts.pop(attempt.call)
        if attempt.outcome != "ok":
            span.set_status(self._trace.StatusCode.ERROR, attempt.message)
            span.set_attribute("error.type", attempt.outcome)
        span.end()

    def call_ended(self, end: CallEnd) -> None:
        """Closes the call's span."""
        span = self._calls.pop(end.call)
        span.set_attribute("emoserve.attempts", end.attempts)
        if end.error is not None:
            span.record_exception(end.error)
            span.set_status(self._trace.StatusCode.ERROR, end.error.message)
            span.set_attribute("error.type", type(end.error).__name__)
        span.end()


class Prometheus(Hook):
    """Counts and times calls and attempts.

    `emoserve_client_calls_total{operation, model, outcome}`, `emoserve_client_call_seconds`
    `{operation, model}`, `emoserve_client_attempts_total{endpoint, outcome}`,
    `emoserve_client_request_bytes_total{model}`, `emoserve_client_calls_running`. One for each
    registry, shared by any number of clients.

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        import prometheus_client as library

        where: dict[str, Any] = {
            "registry": registry or library.REGISTRY,
            "namespace": "emoserve_client",
        }
        call = ("operation", "model")
        self._calls = library.Counter(
            "calls", "Calls, by how they ended", (*call, "outcome"), **where
        )
        self._seconds = library.Histogram(
            "call_seconds",
            "Time of a call with all its attempts",
            call,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
            **where,
        )
        self._attempts = library.Counter(
            "attempts", "Sends, by how they ended", ("endpoint", "outcome"), **where
        )
        self._bytes = library.Counter("request_bytes", "Bytes of inputs", ("model",), **where)
        self._running = library.Gauge("calls_running", "Calls not ended yet", **where)

    def call_started(self, call: Call) -> None:
        """Counts the call as running."""
        self._running.inc()
        self._bytes.labels(call.model).inc(call.size_bytes)

    def attempt_ended(self, attempt: AttemptEnd) -> None:
        """Counts the attempt."""
        self._attempts.labels(attempt.endpoint, attempt.outcome).inc()

    def call_ended(self, end: CallEnd) -> None:
        """Counts and times the call."""
        self._running.dec()
        outcome = "ok" if end.error is None else type(end.error).__name__
        self._calls.labels(end.call.operation, end.call.model, outcome).inc()
        self._seconds.labels(end.call.operation, end.call.model).observe(end.elapsed_s)


def default_hooks() -> tuple[Hook, ...]:
    """What a client has when nobody says: spans, where opentelemetry-api is installed."""
    try:
        return (OpenTelemetry(),)
    except ImportError:
        return ()


def _facts(call: Call) -> Mapping[str, Any]:
    return {
        "emoserve.operation": call.operation,
        "emoserve.model": call.model,
        "emoserve.request_id": call.request_id,
        "emoserve.request_bytes": call.size_bytes,
    }

"""Spans, metrics and the log, seen by a real tracer and a real registry."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from emoserve_client import (
    AttemptStart,
    EmotionClient,
    Hook,
    InputError,
    NoAnswerError,
    OverloadedError,
    Retry,
)
from emoserve_client.observability import OpenTelemetry, Prometheus
from emoserve_client.testing import FakeServer

QUICK = Retry(attempts=3, first_s=0.001)


@pytest.fixture
def spans() -> Any:
    """A tracer provider that keeps what it gets, and the list of it."""
    pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider, kept.get_finished_spans


def test_a_call_is_a_span_and_each_attempt_a_child(spans: Any) -> None:
    provider, finished = spans
    fake = FakeServer()
    client = fake.client(hooks=[OpenTelemetry(provider)], retry=QUICK)
    fake.fail(OverloadedError, "the queue is full")
    client.text("hello")
    first, second, call = finished()
    assert [one.name for one in (first, second, call)] == [
        "infer text",
        "infer text",
        "emoserve infer text",
    ]
    assert {one.parent.span_id for one in (first, second)} == {call.context.span_id}
    assert first.status.description == "the queue is full"
    assert first.attributes["error.type"] == "overloaded"
    assert second.status.is_ok or second.status.status_code.name == "UNSET"
    assert call.attributes["emoserve.attempts"] == 2
    assert call.attributes["emoserve.request_bytes"] == 5
    sent = [one.headers["traceparent"].split("-") for one in fake.calls]
    assert [parts[1] for parts in sent] == [f"{call.context.trace_id:032x}"] * 2
    assert [parts[2] for parts in sent] == [
        f"{one.context.span_id:016x}" for one in (first, second)
    ]


def test_a_span_ends_with_its_error(spans: Any) -> None:
    provider, finished = spans
    fake = FakeServer()
    client = fake.client(hooks=[OpenTelemetry(provider)], retry=QUICK)
    fake.fail(NoAnswerError, times=3)
    with pytest.raises(NoAnswerError):
        client.text("hello")
    *_, call = finished()
    assert call.attributes["error.type"] == "NoAnswerError"
    assert call.events[0].name == "exception"
    with client.stream_video(b"\x1aE\xdf\xa3", transcript="one two") as stream:
        next(stream)
    assert len(finished()) == 6


def test_spans_are_on_where_opentelemetry_is_installed() -> None:
    pytest.importorskip("opentelemetry", reason="needs opentelemetry-api")
    (hook,) = EmotionClient()._session.settings.hooks
    assert isinstance(hook, OpenTelemetry)
    assert EmotionClient(hooks=[])._session.settings.hooks == ()


def test_metrics() -> None:
    library = pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    registry = library.CollectorRegistry()
    fake = FakeServer()
    client = fake.client(hooks=[Prometheus(registry)], retry=QUICK)
    client.text("hello")
    fake.fail(OverloadedError)
    client.text("hello")
    with pytest.raises(InputError):
        client.face(b"no picture")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"emoserve_client_{name}", labels)  # type: ignore[no-any-return]

    text = {"operation": "infer", "model": "text"}
    assert value("calls_total", **text, outcome="ok") == 2
    assert value("calls_total", operation="infer", model="face", outcome="InputError") == 1
    assert value("call_seconds_count", **text) == 2
    assert value("attempts_total", endpoint="grpc://fake:8001", outcome="ok") == 2
    assert value("attempts_total", endpoint="grpc://fake:8001", outcome="overloaded") == 1
    assert value("attempts_total", endpoint="grpc://fake:8001", outcome="invalid request") == 1
    assert value("request_bytes_total", model="text") == 10
    assert value("calls_running") == 0


def test_the_log_has_facts_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="emoserve_client")
    fake = FakeServer()
    fake.fail(OverloadedError, "the queue is full")
    fake.client(retry=QUICK).text("hello")
    first, second = caplog.records
    assert first.getMessage() == "infer text: overloaded: the queue is full"
    assert (first.levelname, second.levelname) == ("INFO", "DEBUG")
    facts: Any = second
    assert (facts.model, facts.attempt, facts.outcome) == ("text", 2, "ok")
    assert facts.endpoint == "grpc://fake:8001"
    assert facts.request_id == first.__dict__["request_id"] == fake.calls[0].headers["x-request-id"]


def test_a_hook_may_add_headers() -> None:
    class Tenant(Hook):
        def attempt_started(self, attempt: AttemptStart) -> None:
            attempt.headers["x-tenant"] = f"seven-{attempt.number}"

    fake = FakeServer()
    fake.client(hooks=[Tenant()]).text("hello")
    assert fake.calls[0].headers["x-tenant"] == "seven-1"

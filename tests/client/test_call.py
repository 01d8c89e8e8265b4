"""The decisions of a call, driven by hand: time stands still but for what the flow waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from emoserve_client import (
    AccessDeniedError,
    Breaker,
    CircuitOpenError,
    DeadlineError,
    Ejection,
    InputError,
    NoAnswerError,
    OverloadedError,
    Retry,
    UnreachableError,
)
from emoserve_client._call import call, stream
from emoserve_client._flow import Ask, Emit, Next, Open, Pause, Race, Send
from emoserve_client._hooks import Call, CallEnd, Hook
from emoserve_client._message import Fault, Kind, Message, Raw
from emoserve_client._session import Session, Settings

MESSAGE: Message[bytes] = Message("unary", "/x", (b"request",), lambda raw: raw.body)
FACTS = Call("infer", "model", "id", 7)
OK = Raw(b"answer")
GONE = Fault(Kind.UNAVAILABLE, "going away")
Script = Sequence[Raw | Fault | None]


class Theatre:
    """A session in a world with one clock, where each send gets the next line of a script."""

    def __init__(self, url: str = "grpc://a", send_s: float = 0.0, **settings: Any) -> None:
        self.now, self.send_s = 100.0, send_s
        self.sends: list[Send] = []
        self.pauses: list[float] = []
        self.ends: list[CallEnd] = []

        class Note(Hook):
            def call_ended(hook, end: CallEnd) -> None:  # noqa: N805
                self.ends.append(end)

        self.session = Session(
            url,
            Settings(hooks=(Note(),), **settings),
            clock=lambda: self.now,
            uniform=lambda _, most: most,
        )

    def play(self, script: Script, timeout_s: float | None = 60.0) -> bytes:
        lines = iter(script)
        return self._drive(call(self.session, MESSAGE, FACTS, timeout_s), lines, [])

    def play_stream(self, script: Script, emitted: list[Any], *, replayable: bool) -> None:
        flow = stream(self.session, MESSAGE, FACTS, 60.0, replayable=replayable)
        self._drive(flow, iter(script), emitted)

    def _drive(self, flow: Any, lines: Any, emitted: list[Any]) -> Any:
        act: Callable[[Any], Any] = flow.send
        value: Any = None
        while True:
            try:
                effect = act(value)
            except StopIteration as done:
                return done.value
            act, value = flow.send, None
            if isinstance(effect, Emit):
                emitted.append(effect.value)
            elif isinstance(effect, Pause):
                self.pauses.append(effect.seconds)
                self.now += effect.seconds
            elif isinstance(effect, Ask):
                value = effect.function()
            elif isinstance(effect, Open):
                self.sends.append(effect.send)
            elif isinstance(effect, Send | Next | Race):
                self.now += self.send_s
                if isinstance(effect, Send):
                    self.sends.append(effect)
                value = next(lines)
                if isinstance(value, Fault):
                    act = flow.throw
                elif isinstance(effect, Race):
                    self.sends += effect.sends
                    value = (1, value)


def test_no_answer_is_asked_for_again_with_the_same_bytes() -> None:
    theatre = Theatre()
    assert theatre.play([GONE, GONE, OK]) == b"answer"
    assert theatre.pauses == [0.2, 0.4]
    assert all(send.message is MESSAGE for send in theatre.sends)
    assert [one.attempts for one in theatre.ends] == [3]


@pytest.mark.parametrize(
    "kind",
    [Kind.UNAVAILABLE, Kind.BUSY, Kind.RESET, Kind.CANCELLED, Kind.UNREACHABLE],
)
def test_what_is_safe_is_retried(kind: Kind) -> None:
    assert Theatre().play([Fault(kind, "x"), OK]) == b"answer"


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.answered])
def test_what_was_answered_is_not(kind: Kind) -> None:
    theatre = Theatre()
    with pytest.raises(Exception, match="x") as caught:
        theatre.play([Fault(kind, "x of a model")])
    assert not isinstance(caught.value, NoAnswerError)
    assert len(theatre.sends) == 1


def test_the_backoff_grows_up_to_its_cap_and_ends_with_the_attempts() -> None:
    theatre = Theatre(retry=Retry(attempts=6, first_s=1, cap_s=3))
    with pytest.raises(NoAnswerError) as caught:
        theatre.play([GONE] * 6)
    assert theatre.pauses == [1, 2, 3, 3, 3]
    assert [one.outcome for one in caught.value.attempts] == ["unavailable: going away"] * 6


def test_the_server_says_how_long_to_wait() -> None:
    theatre = Theatre()
    theatre.play([Fault(Kind.BUSY, "x", pushback_s=7.5), OK])
    assert theatre.pauses == [7.5]


@pytest.mark.parametrize("pushback_s", [-1.0, 61.0])
def test_a_server_that_wants_to_be_left_alone_is(pushback_s: float) -> None:
    theatre = Theatre()
    with pytest.raises(OverloadedError) as caught:
        theatre.play([Fault(Kind.BUSY, "x", pushback_s=pushback_s)])
    assert caught.value.retry_after_s == pushback_s
    assert theatre.pauses == []


def test_one_deadline_bounds_all_attempts() -> None:
    theatre = Theatre(send_s=0.4, retry=Retry(attempts=9, first_s=0.2, factor=1))
    with pytest.raises(NoAnswerError) as caught:
        theatre.play([GONE] * 9, timeout_s=1.0)
    assert [round(send.timeout_s or 0, 6) for send in theatre.sends] == [1.0, 0.4]
    assert len(caught.value.attempts) == 2
    assert theatre.now == pytest.approx(101.0)


def test_a_stalled_attempt_is_left_for_another_server() -> None:
    theatre = Theatre("grpc://a,grpc://b", attempt_timeout_s=2.0)
    theatre.play([Fault(Kind.TIMEOUT, "x"), OK])
    assert [send.timeout_s for send in theatre.sends] == [2.0, 2.0]
    assert len({send.endpoint for send in theatre.sends}) == 2
    assert theatre.pauses == [0.0]


def test_a_timeout_of_the_whole_call_is_not_retried() -> None:
    theatre = Theatre(send_s=5.0)
    with pytest.raises(DeadlineError):
        theatre.play([Fault(Kind.TIMEOUT, "x")], timeout_s=5.0)


def test_the_budget_bounds_the_retries_of_all_calls_together() -> None:
    theatre = Theatre(retry=Retry(attempts=2, first_s=0.0, budget_reserve=3, budget_ratio=0.5))
    for _ in range(6):
        with pytest.raises(NoAnswerError) as caught:
            theatre.play([GONE, GONE])
    # 3 saved; each call earns half a retry, capped at 3: 1st to 5th may retry, the 6th not.
    assert len(theatre.sends) == 6 + 5
    assert caught.value.hint == "not tried again: the retry budget is spent"
    theatre.now += 10  # and time earns some
    assert theatre.play([GONE, OK]) == b"answer"


def test_a_token_is_asked_for_before_each_attempt_and_once_more_when_denied() -> None:
    tokens = iter(["first", "second", "third"])
    theatre = Theatre(auth=lambda: next(tokens))
    theatre.play([Fault(Kind.DENIED, "expired"), OK])
    assert [send.headers["authorization"] for send in theatre.sends] == [
        "Bearer first",
        "Bearer second",
    ]
    with pytest.raises(AccessDeniedError):
        Theatre(auth=lambda: "same").play([Fault(Kind.DENIED, "no")] * 2)
    with pytest.raises(AccessDeniedError):
        Theatre(auth="fixed").play([Fault(Kind.DENIED, "no")])


def test_the_breaker_fails_at_once_and_lets_a_single_probe_through() -> None:
    theatre = Theatre(retry=Retry(attempts=1), breaker=Breaker(failures=2, open_s=5))
    for _ in range(2):
        with pytest.raises(UnreachableError):
            theatre.play([Fault(Kind.UNREACHABLE, "x")])
    with pytest.raises(CircuitOpenError, match=r"next try in 5\.0 s"):
        theatre.play([])
    theatre.now += 5
    with pytest.raises(UnreachableError):
        theatre.play([Fault(Kind.UNREACHABLE, "x")])
    with pytest.raises(CircuitOpenError):
        theatre.play([])
    theatre.now += 5
    assert theatre.play([OK]) == b"answer"
    assert theatre.play([OK]) == b"answer"


def test_an_answered_refusal_does_not_open_the_breaker() -> None:
    theatre = Theatre(breaker=Breaker(failures=1))
    for _ in range(3):
        with pytest.raises(InputError):
            theatre.play([Fault(Kind.INVALID, "[too_long] text: x")])


def test_servers_take_turns_and_a_dead_one_is_left_out_then_tried_again() -> None:
    ejection = Ejection(failures=1, first_s=2.0, cap_s=8.0)
    theatre = Theatre("grpc://a,grpc://b,grpc://c", ejection=ejection)
    for _ in range(3):
        theatre.play([OK])
    assert {send.endpoint.host for send in theatre.sends} == {"a", "b", "c"}
    theatre.sends.clear()
    theatre.play([Fault(Kind.UNREACHABLE, "x"), OK])
    dead = theatre.sends[0].endpoint
    for _ in range(6):
        theatre.play([OK])
    assert dead not in {send.endpoint for send in theatre.sends[1:]}
    theatre.now += 2.0
    theatre.sends.clear()
    for _ in range(6):
        theatre.play([OK])
    assert dead in {send.endpoint for send in theatre.sends}


def test_when_all_are_dead_the_one_due_first_is_tried() -> None:
    theatre = Theatre("grpc://a,grpc://b", ejection=Ejection(failures=1), retry=Retry(attempts=2))
    with pytest.raises(NoAnswerError):
        theatre.play([GONE, GONE])
    assert theatre.play([OK]) == b"answer"


def test_a_hedge_goes_to_another_server_and_its_answer_counts() -> None:
    theatre = Theatre("grpc://a,grpc://b", hedge_after_s=0.05)
    assert theatre.play([OK]) == b"answer"
    first, second = theatre.sends
    assert first.endpoint != second.endpoint
    assert all(health.running == 0 for health in theatre.session.pool._health.values())


def test_a_stream_is_asked_for_again_while_nothing_was_emitted() -> None:
    theatre, emitted = Theatre(), []
    theatre.play_stream([GONE, Raw(b"1"), Raw(b"2"), None], emitted, replayable=False)
    assert emitted == [b"1", b"2"]


def test_a_broken_stream_is_not_said_twice() -> None:
    theatre, emitted = Theatre(), []
    with pytest.raises(NoAnswerError):
        theatre.play_stream([Raw(b"1"), GONE], emitted, replayable=False)
    assert emitted == [b"1"]
    theatre, emitted = Theatre(), []
    theatre.play_stream([Raw(b"1"), GONE, Raw(b"1"), Raw(b"2"), None], emitted, replayable=True)
    assert emitted == [b"1", b"2"]


def test_an_error_says_where_and_when_and_what_to_do() -> None:
    theatre = Theatre("http://a:1,http://b:2", retry=Retry(attempts=2))
    with pytest.raises(UnreachableError) as caught:
        theatre.play([Fault(Kind.UNREACHABLE, "refused"), Fault(Kind.UNREACHABLE, "refused")])
    first, second = (send.endpoint for send in theatre.sends)
    assert str(caught.value) == (
        f"no server answers at {second}\n"
        f"  at model model, {second}, request id\n"
        f"  try 1: {first}: unreachable: refused after 0.00 s\n"
        f"  try 2: {second}: unreachable: refused after 0.00 s\n"
        "  start one with: emoserve serve"
    )

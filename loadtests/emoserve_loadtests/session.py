"""What one load-generating process has: payloads, a client, the clock, and both loops."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import gevent.pool

from emoserve_client.errors import EmoserveError
from emoserve_loadtests.calls import ask, connect, kind_of
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.options import Options
from emoserve_loadtests.schedule import arrivals

_EPOCH_S = time.time() - time.monotonic()  # a wall clock that never jumps within a process


def now_s() -> float:
    """Return seconds since 1970, on a clock that only goes forward."""
    return _EPOCH_S + time.monotonic()


def run_arrivals(due_s: Iterable[float], call: Callable[[float], None]) -> None:
    """Call at each due time, in a greenlet of its own, and return when all have ended.

    No arrival is skipped or put off by slow answers: when this loop itself is late, it starts at
    once what is due, and `call` still counts from the due time.
    """
    running = gevent.pool.Group()
    for at_s in due_s:
        if (wait_s := at_s - now_s()) > 0:
            gevent.sleep(wait_s)
        running.spawn(call, at_s)
    running.join()


class Session:
    """A run as one process sees it; its time begins with the first user."""

    def __init__(self, options: Options, fire: Callable[..., None], worker: int) -> None:
        self.options, self._fire = options, fire
        self._worker, self._started = worker, 0
        self.corpus = read_corpus(options.media)
        self.client = connect(options.url, options.timeout_s)
        self.began_s = 0.0

    def enter(self) -> int:
        """Return the stream number of a new user, unique over all workers."""
        if not self._started:
            self.began_s = now_s()
        self._started += 1
        return self._worker * max(1, self.options.streams) + self._started - 1

    def chance(self, stream: int) -> random.Random:
        """Return the source of a user's payloads."""
        return random.Random(f"{self.options.seed}/{stream}")

    def run_open(self, pipeline: str, stream: int) -> None:
        """Send what arrives in this stream until the schedule is over and all is answered."""
        options, chance = self.options, self.chance(stream)
        streams = max(1, options.streams)
        due_s = self.began_s + arrivals(options.schedule, options.seed, stream, streams)
        run_arrivals(due_s.tolist(), lambda at_s: self.send(pipeline, chance, at_s))

    def send(self, pipeline: str, chance: random.Random, due_s: float | None = None) -> None:
        """Send one request that was due then, and tell Locust and our recorder what came of it."""
        index = self.corpus.pick(pipeline, chance)
        item = self.corpus.items[index]
        sent_s = now_s()
        due_s = sent_s if due_s is None else due_s
        error: EmoserveError | None = None
        answer, kind = "", "Unfinished"  # a greenlet that is killed leaves its row all the same
        try:
            answer = ask(self.client, item)
            kind = ""
        except EmoserveError as err:
            error, kind = err, kind_of(err)
        finally:
            ended_s = now_s()
            offset_s = due_s - self.began_s
            stage = self._stage(offset_s)
            row = (due_s, sent_s, ended_s, stage, offset_s, item.pipeline, item.modality,
                   item.size_bytes, index, answer, kind)  # fmt: skip
            self._told(row, error)

    def _told(self, row: tuple[Any, ...], error: EmoserveError | None) -> None:
        due_s, _, ended_s, _, _, pipeline, modality, size_bytes, _, _, kind = row
        self._fire(
            request_type=self.options.url.split(":")[0],
            name=f"{pipeline} {modality}" if pipeline == "emotion" else pipeline,
            response_time=(ended_s - due_s) * 1000,
            response_length=size_bytes,
            exception=error,
            context={},
            pipeline=pipeline,
            modality=modality,
            size_bytes=size_bytes,
            error_kind=kind,
            row=row,
        )

    def _stage(self, offset_s: float) -> int:
        """The stage of a time, -1 while it settles."""
        index, since_s = self.options.schedule.find(offset_s)
        return index if since_s >= self.options.settle_s else -1

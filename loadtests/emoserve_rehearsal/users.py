"""The Locust file: all arrivals of the schedule, through clients such as an application has."""

from __future__ import annotations

import json
import os
import random
import socket
from pathlib import Path
from typing import Any

from locust import User, events, task
from locust.exception import StopUser

from emoserve_client import CallEnd, EmoserveError, EmotionClient, Hook
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.session import now_s, run_arrivals
from emoserve_rehearsal.callers import ENVIRONMENT, World
from emoserve_rehearsal.record import replace_file
from emoserve_rehearsal.timing import FACTOR, NETWORK, PIPELINE

NAME = "emoserve-pods"
LOOKUP_S = 30.0 / FACTOR  # the client's own 30 s, of a cluster's time
TIMEOUT_S = 30.0
CLIENTS = 4


def serve_name(endpoints: Path) -> None:
    """Let NAME stand for the addresses in the file: what a cluster's name server does."""
    ask_others = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return ask_others(host, port, *args, **kwargs)
        addresses = json.loads(endpoints.read_text())
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no pod is ready")
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 0, "", (address, port)) for address in addresses]

    socket.getaddrinfo = getaddrinfo


class Attempts(Hook):
    """How many sends the call took that ended last; read by the greenlet that made it."""

    last = 0

    def call_ended(self, end: CallEnd) -> None:
        self.last = end.attempts


def read_world() -> World:
    """Return what the process was told."""
    content = json.loads(Path(os.environ[ENVIRONMENT]).read_text())
    content["stages"] = tuple(tuple(stage) for stage in content["stages"])
    return World(**content)


class Caller(User):
    """One source of all arrivals; each takes one of the clients by chance."""

    def on_start(self) -> None:
        import grpc.experimental.gevent

        grpc.experimental.gevent.init_gevent()
        self.world = read_world()
        serve_name(Path(self.world.endpoints))
        self.corpus, self.chance = read_corpus(None), random.Random(self.world.seed)
        self.attempts = Attempts()
        url = f"grpc+dns://{NAME}:{self.world.grpc_port}"
        self.clients = [
            EmotionClient(url, timeout_s=TIMEOUT_S, lookup_s=LOOKUP_S, hooks=[self.attempts])
            for _ in range(CLIENTS)
        ]

    @task
    def traffic(self) -> None:
        with Path(self.world.rows).open("w", buffering=1) as self.rows:
            began_s = now_s()
            replace_file(self.world.began, began_s)
            run_arrivals((began_s + self.world.due_s).tolist(), self._send)
        for client in self.clients:
            client.close()
        self.environment.runner.quit()
        raise StopUser

    def _send(self, due_s: float) -> None:
        item = self.corpus.items[self.corpus.pick(PIPELINE, self.chance)]
        client, error, version = self.chance.choice(self.clients), None, ""
        try:
            answer = client.text(item.inputs["text"])
            version = answer.models[NETWORK]
        except EmoserveError as err:
            error = err
        took_s = now_s() - due_s
        told = "" if error is None else f"{type(error).__name__}: {error}"
        row = {"due_s": due_s, "took_s": took_s, "retried": self.attempts.last - 1,
               "version": version, "error": told}  # fmt: skip
        self.rows.write(json.dumps(row) + "\n")
        self.environment.events.request.fire(
            request_type="grpc", name=PIPELINE, response_time=took_s * 1000,
            response_length=item.size_bytes, exception=error, context={},
        )  # fmt: skip


@events.quitting.add_listener
def _told(environment: Any, **_: Any) -> None:
    environment.process_exit_code = 1 if environment.stats.total.num_failures else 0

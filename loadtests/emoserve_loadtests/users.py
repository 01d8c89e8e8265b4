"""Locust's side: a user class for each pipeline, the shape, and what happens as a run begins.

`locust -f loadtests/locustfile.py Face --host grpc://127.0.0.1:8001`: the address's scheme says
whether the users speak gRPC or HTTP, `--loop` whether they wait for answers.
"""

from __future__ import annotations

import sys
from typing import Any

from locust import LoadTestShape, User, constant, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from emoserve_loadtests import mix
from emoserve_loadtests.gates import read_gates
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.options import DRAIN_S, add_arguments, read_options
from emoserve_loadtests.run import Run
from emoserve_loadtests.session import Session

_REPORT_S = 3.5  # workers report every 3 s


class PipelineUser(User):
    """A caller of one pipeline, or in an open loop the source of all its calls in this process."""

    abstract = True
    wait_time = constant(0)
    pipeline = mix.MIX

    def on_start(self) -> None:
        environment: Any = self.environment
        self.session: Session = environment.emoserve_session
        self.stream = self.session.enter()
        self.chance = self.session.chance(self.stream)

    @task
    def traffic(self) -> None:
        if self.session.options.open_loop:
            self.session.run_open(self.pipeline, self.stream)
            raise StopUser
        self.session.send(self.pipeline, self.chance)


class Mix(PipelineUser):
    """The realistic mix that `mix.py` states; what runs when no class is named."""


class Face(PipelineUser):
    pipeline = "face"


class Speech(PipelineUser):
    pipeline = "speech"


class Text(PipelineUser):
    pipeline = "text"


class Emotion(PipelineUser):
    pipeline = "emotion"


class Video(PipelineUser):
    pipeline = "video"


class Tensors(PipelineUser):
    """Plain tensors to any model; `--media MODEL.json` holds them."""

    pipeline = "model"


class Levels(LoadTestShape):
    """Follows the schedule; ends when every request has its answer and every worker has told."""

    def reset_time(self) -> None:
        super().reset_time()
        self._idle_since: float | None = None

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        assert self.runner is not None
        environment: Any = self.runner.environment
        options = read_options(environment.parsed_options)
        at_s, total_s = self.get_run_time(), options.schedule.seconds
        if at_s > total_s and self._ended(at_s, total_s + options.timeout_s + DRAIN_S):
            return None
        named = environment.parsed_options.user_classes
        classes = environment.user_classes if named else [Mix]
        workers = getattr(self.runner, "worker_count", 1) or 1
        if options.open_loop:
            environment.parsed_options.streams = workers * len(classes)
            count = workers * len(classes)
        else:
            count = round(options.schedule.level(at_s))
        return count, float(max(count, 100)), classes

    def _ended(self, at_s: float, latest_s: float) -> bool:
        """Whether all users have stopped, and workers had the time to say so."""
        if self.get_current_user_count():
            self._idle_since = None
            return at_s > latest_s
        self._idle_since = at_s if self._idle_since is None else self._idle_since
        grace_s = _REPORT_S if isinstance(self.runner, MasterRunner) else 0.0
        return at_s - self._idle_since >= grace_s


@events.init_command_line_parser.add_listener
def _arguments(parser: Any) -> None:
    add_arguments(parser)


@events.init.add_listener
def _ready(environment: Any, **_: Any) -> None:
    """gRPC must know of gevent before the first channel; the fork of workers is behind us here."""
    import grpc.experimental.gevent

    grpc.experimental.gevent.init_gevent()
    try:  # all that can be wrong is found before anything runs
        options = read_options(environment.parsed_options)
        read_corpus(options.media)
        if options.slo:
            read_gates(options.slo)
    except (ValueError, OSError) as error:
        sys.exit(f"emoserve bench run: {error}")
    environment.stop_timeout = options.timeout_s + DRAIN_S
    port = 0 if isinstance(environment.runner, WorkerRunner) else options.prometheus_port
    environment.emoserve_run = Run(environment, options, port)


@events.test_start.add_listener
def _begin(environment: Any, **_: Any) -> None:
    options = read_options(environment.parsed_options)
    if not isinstance(environment.runner, MasterRunner):
        worker = getattr(environment.runner, "worker_index", 0)
        environment.emoserve_session = Session(options, environment.events.request.fire, worker)
    if not isinstance(environment.runner, WorkerRunner):
        environment.emoserve_run.begin(options)


@events.test_stop.add_listener
def _end(environment: Any, **_: Any) -> None:
    if not isinstance(environment.runner, MasterRunner):
        environment.emoserve_session.client.close()
    if not isinstance(environment.runner, WorkerRunner):
        environment.emoserve_run.end()

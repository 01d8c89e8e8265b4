"""One workload's session: everything started, answers compared, idle measured, then the rounds."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoserve_peers import processes, servers
from emoserve_peers.answers import difference
from emoserve_peers.errors import AnswersDifferError, ServerFailedError
from emoserve_peers.generator import Load, generate
from emoserve_peers.goals import IDLE_CORE
from emoserve_peers.limit import Limit, limit
from emoserve_peers.messages import PROTOCOLS
from emoserve_peers.payloads import Workload
from emoserve_peers.records import Footprint, Record
from emoserve_peers.rounds import Measure, interleaved, undisturbed
from emoserve_peers.servers import Running
from emoserve_peers.starts import Begin
from emoserve_peers.systems import LIMIT, LIMITS, SERVERS, SYSTEMS

IDLE_S = 10.0


@dataclass(frozen=True)
class Plan:
    """How long and how often is measured.

    Attributes:
        callers: numbers of callers in a closed loop.
    """

    callers: tuple[int, ...]
    rounds: int
    warmup_s: float
    window_s: float


class Session:
    """The servers of one workload, up at once, and the limits beside them."""

    def __init__(self, workload: Workload, repository: Path, logs: Path, begin: Begin) -> None:
        self.record = Record(workload.name, workload.what)
        self._workload = workload
        self._repository = repository
        self._logs = logs
        self._begin = begin
        self._running: dict[str, Running] = {}
        self._limits: dict[str, Limit] = {}
        self._systems: list[str] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        roots = [one.root for name, one in self._running.items() if name in SERVERS]
        with servers.ended(roots):
            self._stack.close()

    def start_limit(self, name: str) -> None:
        """Load one of `LIMITS`."""
        what = LIMITS[name]
        pipeline = what.pipeline or self._workload.pipeline
        bare = limit(pipeline, self._repository, what.processes, what.threads)
        self._limits[name] = self._stack.enter_context(bare)

    def start(self, name: str) -> None:
        """Start the server of a system, unless it runs, and hold its answers to the limit's.

        Raises:
            ServerFailedError: it did not start.
            AnswersDifferError: it answers otherwise.
        """
        system = SYSTEMS[name]
        if system.server not in self._running:
            running = self._stack.enter_context(self._begin(system.server))
            servers.first_answer(running, system.protocol, self._workload)
            self._running[system.server] = running
            self.record.footprints[system.server] = Footprint()
        self._compare(name)
        self._systems.append(name)

    def _compare(self, name: str) -> None:
        bodies, system = self._workload.bodies, SYSTEMS[name]
        running = self._running[system.server]
        wanted = self._limits[LIMIT].answers(bodies)
        got = [running.ask(system.protocol, self._workload, body) for body in bodies]
        worst = max(map(difference, wanted, got))
        self.record.differences[name] = worst
        if worst > system.tolerance:
            raise AnswersDifferError(
                f"{name} differs from the limit by {worst:.3g} on {self._workload.name}, "
                f"{system.tolerance} is allowed; first answers:\n{wanted[0]!r}\n{got[0]!r}"
            )

    def rest(self) -> None:
        """Note what each server takes of a core while nobody calls."""
        families = {name: processes.family(one.root) for name, one in self._running.items()}
        for name, share in processes.idle_shares(families, IDLE_S).items():
            self.record.footprints[name].idle = share

    def measure(self, plan: Plan, done: Callable[[], None]) -> None:
        """Measure all rounds; `done` is called after each measurement."""
        for callers in plan.callers:
            measures = {
                name: undisturbed(self._alone(name, one))
                for name, one in self._measures(plan, callers).items()
            }
            self.record.series[callers] = interleaved(measures, plan.rounds, done)
        for name, running in self._running.items():
            memory = processes.memory_mb(processes.family(running.root))
            self.record.footprints[name].memory_mb = memory

    def _measures(self, plan: Plan, callers: int) -> dict[str, Measure]:
        window = (callers, plan.warmup_s, plan.window_s)

        def bare(one: Limit) -> Measure:
            return lambda number: one.measure(self._bodies(number, callers), *window)

        def served(name: str) -> Measure:
            system = SYSTEMS[name]
            running = self._running[system.server]
            write = PROTOCOLS[system.protocol].write
            messages = {
                body: write(self._workload.pipeline, body) for body in self._workload.bodies
            }
            address = running.address(messages[self._workload.bodies[0]])
            return lambda number: generate(
                address, [messages[body] for body in self._bodies(number, callers)], *window
            )

        return {name: bare(one) for name, one in self._limits.items()} | {
            name: served(name) for name in self._systems
        }

    def _alone(self, name: str, measure: Measure) -> Measure:
        """Return a measure during which the other servers stand still that work when idle.

        Not all of them: a Triton that is stopped amid a request ends when it goes on (its Python
        backend's locks have a time limit).
        """
        own = SYSTEMS[name].server if name in SYSTEMS else None
        others = [
            pid
            for server, running in self._running.items()
            if server != own and self.record.footprints[server].idle > IDLE_CORE
            for pid in processes.family(running.root)
        ]

        def measured(number: int) -> Load:
            with processes.paused(others):
                load = measure(number)
                if own is not None:
                    self._let_rest(own)
            if not load.count:
                raise ServerFailedError(f"{name} answered nothing; its log is in {self._logs}")
            return load

        return measured

    def _let_rest(self, server: str) -> None:
        """Return when a server has worked off what the generator left behind: neither it, next
        time, nor the one after it is to pay for that."""
        family = processes.family(self._running[server].root)
        processes.wait_for_rest(family, self.record.footprints[server].idle)

    def _bodies(self, number: int, callers: int) -> Sequence[bytes]:
        """Return the bodies of a round; where callers are fewer, bodies take turns."""
        bodies = self._workload.bodies
        first = number % len(bodies)
        return [*bodies[first:], *bodies[:first]][:callers]

"""How long servers take to start: each alone, in interleaved rounds, until its first answer."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeAlias

from emoserve_peers import servers
from emoserve_peers.payloads import Workload
from emoserve_peers.rounds import turned
from emoserve_peers.servers import Running
from emoserve_peers.systems import SERVERS, SYSTEMS

Begin: TypeAlias = Callable[[str], contextlib.AbstractContextManager[Running]]


def start_times(
    workload: Workload,
    systems: Sequence[str],
    begin: Begin,
    rounds: int,
    done: Callable[[], None] = lambda: None,
) -> Mapping[str, float]:
    """Return the median seconds from each server's start to its first answer, by server.

    Args:
        begin: gives a server, started but perhaps not ready.
        done: called after each start.

    Raises:
        ServerFailedError: one did not start.
    """
    protocols = {SYSTEMS[name].server: SYSTEMS[name].protocol for name in systems}
    seen: dict[str, list[float]] = {server: [] for server in protocols}
    for number in range(rounds):
        for server in turned(list(protocols), number):
            seen[server].append(_start(server, protocols[server], workload, begin))
            done()
    return {server: median(seconds) for server, seconds in seen.items()}


def _start(server: str, protocol: str, workload: Workload, begin: Begin) -> float:
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        running = stack.enter_context(begin(server))
        servers.first_answer(running, protocol, workload)
        seconds = time.monotonic() - started
        with servers.ended([running.root] if server in SERVERS else []):
            stack.close()
    return seconds

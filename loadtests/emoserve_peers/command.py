"""emoserve and its peers side by side: the same work, the same cores, interleaved rounds."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emoserve_peers import environments, records, report, servers, video
from emoserve_peers.errors import BenchError
from emoserve_peers.generator import require_generator
from emoserve_peers.goals import goals
from emoserve_peers.payloads import KINDS, read_workload
from emoserve_peers.records import Record
from emoserve_peers.session import Plan, Session
from emoserve_peers.starts import start_times
from emoserve_peers.systems import COMPARED, CORES, LIMITS, PARTS, SERVERS, SYSTEMS, TUNED
from emoserve_peers.tables import terminal

ROOT = environments.ROOT
CALLERS = (1, 8, 32)
ROUNDS = 3
WORKLOADS = (*KINDS, "video")
WARMUP_S, WINDOW_S = 1.5, 4.0

EXAMPLES = """\
examples:
  python loadtests/bench.py                                   everything: about an hour
  python loadtests/bench.py --workloads text --peers emoserve,fastapi --callers 8
  python loadtests/bench.py --report                          write the report of earlier runs
  make bench BENCH_ARGS='--workloads face-640 --rounds 5'

Figures go to out/bench/*.json; the section «Peers» of docs/benchmarks.md is made of all of them.
exit status: 0 measured, 1 a server failed or answers otherwise, 2 usage
"""

console = Console()


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--peers", type=_of(SYSTEMS), default=COMPARED, help=f"of {', '.join(SYSTEMS)}")
    add("--workloads", type=_of(WORKLOADS), default=WORKLOADS, help=f"of {', '.join(WORKLOADS)}")
    add("--callers", type=_numbers, default=CALLERS, help="in a closed loop (default: 1,8,32)")
    add("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    add("--seconds", type=float, default=WINDOW_S, help=f"a measurement (default: {WINDOW_S:g})")
    add("--repository", type=Path, default=ROOT / "model_repository", help="exported, profile cpu")
    add("--tuned", type=Path, help="a repository of `emoserve export --tune`, measured beside it")
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="pictures, sounds, text")
    add("--out", type=Path, default=ROOT / "out" / "bench", help="raw figures and servers' logs")
    add("--page", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the report goes")
    add("--report", action="store_true", help="measure nothing, only write the report")
    return parser.parse_args(argv)


def _of(known: Container[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return read


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def install(names: Sequence[str]) -> None:
    """Make the environments that are missing."""
    servers = {SYSTEMS[name].server for name in names}
    wanted = {SERVERS[server].environment for server in servers if server in SERVERS}
    for name in sorted(wanted):
        if not environments.is_ready(name):
            with console.status(f"Installing {name} into {environments.ENVIRONMENTS.name}/ (once)"):
                environments.make(name)


def measure(name: str, given: argparse.Namespace) -> Record:
    """Return what the session of one workload saw."""
    workload = read_workload(name, given.data)
    plan = Plan(given.callers, given.rounds, WARMUP_S, given.seconds)
    logs = given.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    systems = [*given.peers, *([TUNED] if given.tuned else [])]
    bare = [limit for limit in LIMITS if limit != PARTS or workload.pipeline == "emotion"]
    begin = partial(
        servers.started,
        pipeline=workload.pipeline,
        repository=given.repository,
        logs=logs,
        tuned=given.tuned,
    )
    with _progress() as progress:
        count = len({SYSTEMS[system].server for system in systems})
        timing = progress.add_task(f"{name}: start-up", total=given.rounds * count)
        starts = start_times(
            workload, systems, begin, given.rounds, lambda: progress.advance(timing)
        )
    with Session(workload, given.repository, logs, begin) as session, _progress() as progress:
        starting = progress.add_task(f"{name}: starting", total=len(bare) + len(systems))
        for limit in bare:
            session.start_limit(limit)
            progress.advance(starting)
        for system in systems:
            session.start(system)
            progress.advance(starting)
        session.rest()
        total = len(plan.callers) * plan.rounds * (len(bare) + len(systems))
        measuring = progress.add_task(f"{name}: measuring", total=total)
        session.measure(plan, lambda: progress.advance(measuring))
    for server, seconds in starts.items():
        session.record.footprints[server].start_s = seconds
    return session.record


def analyse_clips(given: argparse.Namespace) -> None:
    """Measure the pipeline that no peer has."""
    (given.out / "logs").mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        task = progress.add_task("video: measuring", total=video.steps(given.rounds))
        factors = video.measure(
            given.repository, given.data, given.rounds, given.out, lambda: progress.advance(task)
        )
    console.print(factors)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def main(argv: Sequence[str]) -> int:
    given = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with their blocks
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    try:
        if not given.report:
            require_generator()
            install(given.peers)
            for name in given.workloads:
                if name == "video":
                    analyse_clips(given)
                else:
                    record = measure(name, given)
                    console.print(terminal(name, record.series), f"{record.write(given.out)}\n")
    except BenchError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    seen = records.read(given.out)
    report.write(
        seen, video.read(given.out), given.page, given.page.parent / "figures" / "peers.png"
    )
    console.print(report.goals_table(goals(seen)), f"The report: {given.page}")
    return 0

"""emoserve and its peers side by side: the same work, the same cores, interleaved rounds.

    python loadtests/bench.py                                      everything (an hour and more)
    python loadtests/bench.py --workloads text --peers fastapi     two servers and the limit
    python loadtests/bench.py --report                             only write the report again

What a run saw goes to out/bench/*.json; from all of them the report in docs/benchmarks.md is made.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from emoserve_peers import environments
from emoserve_peers.answers import AnswersDifferError
from emoserve_peers.generator import GeneratorError, require_generator
from emoserve_peers.payloads import KINDS, read_workload
from emoserve_peers.servers import ServerFailedError
from emoserve_peers.session import Plan, Record, Session
from emoserve_peers.systems import CORES, LIMITS, SERVERS, SYSTEMS
from emoserve_peers.tables import terminal

ROOT = environments.ROOT
OUT = ROOT / "out" / "bench"
CALLERS = (1, 8, 32)
ROUNDS = 3
WARMUP_S, WINDOW_S = 1.5, 4.0

FAILURES = (AnswersDifferError, GeneratorError, ServerFailedError, environments.InstallError)

console = Console()


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ",".join(SYSTEMS)
    parser.add_argument("--peers", type=words, default=tuple(SYSTEMS), help=f"of {known}")
    parser.add_argument(
        "--workloads", type=words, default=tuple(KINDS), help=f"of {','.join(KINDS)}"
    )
    parser.add_argument("--callers", type=numbers, default=CALLERS, help="default 1,8,32")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="of each measurement")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(argv)


def install(names: Sequence[str]) -> None:
    """Make the environments that are missing."""
    wanted = {
        SERVERS[SYSTEMS[name].server].environment
        for name in names
        if name in SYSTEMS and SYSTEMS[name].server in SERVERS
    }
    for name in sorted(wanted):
        if not environments.is_ready(name):
            with console.status(
                f"Installing {name} into {environments.python_of(name).parents[1]}"
            ):
                environments.make(name)


def run(workload_name: str, given: argparse.Namespace) -> Record:
    """Return what one workload's session saw."""
    workload = read_workload(workload_name, given.data)
    plan = Plan(given.callers, given.rounds, WARMUP_S, given.seconds)
    logs = given.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    limits = [
        name for name, one in LIMITS.items() if not one.pipeline or workload.pipeline == "emotion"
    ]
    with Session(workload, given.repository, logs) as session, _progress() as progress:
        starting = progress.add_task(f"{workload.name}: starting", total=len(given.peers))
        for name in limits:
            session.start_limit(name)
        for name in given.peers:
            session.start(name)
            progress.advance(starting)
        session.rest()
        steps = len(plan.callers) * plan.rounds * (len(limits) + len(given.peers))
        measuring = progress.add_task(f"{workload.name}: measuring", total=steps)
        session.measure(plan, lambda: progress.advance(measuring))
    return session.record


def _progress() -> Progress:
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def main(argv: Sequence[str]) -> int:
    given = arguments(argv)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    try:
        require_generator()
        install(given.peers)
        for name in given.workloads:
            record = run(name, given)
            callers = "-".join(map(str, given.callers))
            path = given.out / f"{name}-{callers}.json"
            path.write_text(json.dumps(record.to_json(), indent=1) + "\n")
            console.print(terminal(name, record.series), f"{path}")
    except (
        AnswersDifferError,
        GeneratorError,
        ServerFailedError,
        environments.InstallError,
    ) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`emoserve bench`: load tests, MLPerf's scenarios, the check against perf_analyzer, capacity."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from emoserve_client.errors import EmoserveError
from emoserve_loadtests import capacity, perf_analyzer, plots, scenarios
from emoserve_loadtests.mix import MIX, PIPELINES
from emoserve_loadtests.served import Server, at_host, embedded
from emoserve_loadtests.trial import Trial, meeting_point, run_locust

DONE, BROKEN, USAGE = 0, 1, 2

_EXAMPLES = """\
examples:
  emoserve bench run                                     4 callers, the realistic mix, a report
  emoserve bench run Face --levels 1,8,32 --slo slo.toml callers in steps; the exit code tells
  emoserve bench run --loop open --shape ramp --levels 5,60 --processes 2
  emoserve bench run --web                               the same from Locust's web page
  emoserve bench server face --bound-ms 300              highest rate whose p99 stays within
  emoserve bench offline text                            throughput with much to do
  emoserve bench single speech                           one caller's proved p90
  emoserve bench check                                   ours against perf_analyzer
  emoserve bench measure                                 what a replica holds, into k8s/capacity
  emoserve bench capacity --per-day 1e5,1e6,1e7          replicas and cost

Without --host a server is started on this machine for the time of the test. `run` takes all of
Locust's options too. exit status: 0 done and objectives held, 1 not held, 2 usage
"""
_SCENARIOS = {
    "server": "latency-bounded throughput",
    "offline": "throughput with much to do",
    "single": "one caller's latency",
}
_OBJECTIVES_S = "face=0.4,speech=0.3,text=0.2,emotion=0.5,video=10"


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    made = argparse.ArgumentParser(
        prog="emoserve bench",
        description="Load tests that a server cannot hide from.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="one load test with a report", add_help=False)
    run.add_argument("--web", action="store_true", help="show Locust's web page, start nothing")
    for name, what in _SCENARIOS.items():
        _add_scenario(commands.add_parser(name, help=what), name)
    _add_check(commands.add_parser("check", help="ours against perf_analyzer"))
    _add_measure(commands.add_parser("measure", help="what one replica holds"))
    _add_capacity(commands.add_parser("capacity", help="replicas and cost for a traffic"))
    for command in commands.choices.values():
        command.add_argument("--host", default="", help="a server that runs, on Triton's ports")
        command.add_argument("--repository", type=Path, default=Path("model_repository"))
        if command is not run:
            command.add_argument("--out", type=Path, default=Path("out/bench"), metavar="FOLDER")
    return made


def _add_scenario(command: argparse.ArgumentParser, name: str) -> None:
    add = command.add_argument
    add("pipeline", choices=(*PIPELINES, MIX))
    add("--protocol", choices=("grpc", "http"), default="grpc")
    add("--seconds", type=float, default=20.0, help="shortest trial (default: 20)")
    add("--seed", type=int, default=1)
    if name == "server":
        add("--bound-ms", type=float, required=True)
        add("--resolution", type=float, default=0.05, help="of the rate (default: 0.05)")
    if name == "offline":
        add("--callers", type=int, default=32)
    else:
        percentile = 0.99 if name == "server" else 0.9
        add("--percentile", type=float, default=percentile, help=f"(default: {percentile})")


def _add_check(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--models", default="text_net,speech,face", metavar="A,B,...")
    add("--callers", default="1,8", metavar="A,B,...")
    add("--protocol", choices=("grpc", "http"), default="grpc")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=6.0, help="of each round (default: 6)")


def _add_measure(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--pipelines", default=_OBJECTIVES_S, metavar="NAME=P95_S,...",
        help=f"with their objectives (default: {_OBJECTIVES_S})")  # fmt: skip
    add("--seconds", type=float, default=20.0, help="of each rate (default: 20)")
    add("--startup-s", type=float, help="of a replica; default: of the server that was started")
    add("--where", default="this machine", help="said in the file")
    add("--capacity", type=Path, default=Path("k8s/capacity/cpu.json"), metavar="FILE")
    add("--keep", action="store_true", help="keep the file's pipelines that are not measured")


def _add_capacity(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--capacity", type=Path, default=Path("k8s/capacity/cpu.json"), metavar="FILE")
    add("--per-day", default="1e5,1e6,1e7", metavar="A,B,...", help="requests per day")
    add(
        "--peak-factor", type=float, default=3.0, help="the busiest rate over the mean (default: 3)"
    )
    add("--price", type=float, default=0.04, help="of a core or GPU hour (default: 0.04)")
    add("--units", type=float, default=2.0, help="cores or GPUs of a replica (default: 2)")
    add("--load", type=float, default=0.7, help="how full replicas are kept (default: 0.7)")
    add("--min-replicas", type=int, default=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand and return the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    options, rest = parser().parse_known_args(given)
    if rest and options.command != "run":
        parser().error(f"unknown: {' '.join(rest)}")
    signal.signal(signal.SIGTERM, _end)  # the server that was started ends with us
    try:
        return _COMMANDS[options.command](options, rest)
    except (EmoserveError, ValueError, RuntimeError, OSError) as error:
        print(f"emoserve bench: {error}", file=sys.stderr)
        return USAGE


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[Server]:
    if options.host:
        yield at_host(options.host)
        return
    with embedded(options.repository) as server:
        yield server


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    if "-h" in rest or "--help" in rest:
        return run_locust(["--help"])
    mode = [] if options.web else ["--headless", "--only-summary"]
    ports = meeting_point() if "--processes" in rest else []
    if "://" in options.host:
        return run_locust([*rest, *mode, *ports, "--host", options.host])
    with _server(options) as server:
        where = ["--host", server.grpc, "--stats-url", server.http, "--metrics-url", server.metrics]
        return run_locust([*rest, *mode, *ports, *where])


def _scenario(options: argparse.Namespace, rest: list[str]) -> int:
    trial = Trial(
        options.pipeline, (), options.seconds, protocol=options.protocol, seed=options.seed,
        loop="open" if options.command == "server" else "closed",
    )  # fmt: skip
    out = options.out / f"{options.command}-{options.pipeline}"
    with _server(options) as server:
        if options.command == "server":
            bound_s = options.bound_ms / 1000
            found = scenarios.server_scenario(
                trial, server, out, bound_s, options.percentile, options.resolution
            )
        elif options.command == "offline":
            found = scenarios.offline_scenario(trial, server, out, options.callers)
        else:
            found = scenarios.single_stream_scenario(trial, server, out, options.percentile)
    found = {"pipeline": options.pipeline, **found}
    _write(out / "scenario.json", found)
    valid = found.get("accurate", False) and not found.get("cache_hits")
    return DONE if valid else BROKEN


def _check(options: argparse.Namespace, rest: list[str]) -> int:
    models, callers = options.models.split(","), [int(one) for one in options.callers.split(",")]
    with _server(options) as server:
        found = perf_analyzer.compare(
            models, callers, options.rounds, options.seconds, server, options.protocol,
            options.out / "check",
        )  # fmt: skip
    table = Table("model", "callers", "answers/s, ours : perf_analyzer", "p50", "p99")
    for one in found:
        cells = (f"{one[key]['ratio']:.3f}" for key in ("per_s", "p50_ms", "p99_ms"))
        table.add_row(one["model"], str(one["callers"]), *cells)
    Console().print(table)
    _write(options.out / "check" / "check.json", found)
    return DONE


def _measure(options: argparse.Namespace, rest: list[str]) -> int:
    wanted = dict(one.split("=") for one in options.pipelines.split(","))
    out = options.out / "measure"
    with _server(options) as server:
        curves = [
            capacity.measure(name, float(slo_s), options.seconds, server, out)
            for name, slo_s in wanted.items()
        ]
    if options.keep and options.capacity.is_file():
        there = capacity.read_curves(options.capacity)
        curves = [*(one for one in there if one.pipeline not in wanted), *curves]
    startup_s = options.startup_s or server.startup_s
    if startup_s is None:
        raise ValueError("--startup-s is needed with --host: seconds until a replica answers")
    said = f"{options.where}, by `emoserve bench measure`, {options.seconds:g} s for each rate"
    capacity.write_capacity(curves, said, startup_s, options.capacity)
    _print_curves(curves)
    (out / "capacity.png").write_bytes(plots.png(plots.capacity_curves(curves)))
    print(f"written: {options.capacity}, {out / 'capacity.png'}")
    return DONE


def _print_curves(curves: Sequence[capacity.Curve]) -> None:
    table = Table(
        "pipeline", "limit/s", "p95 there, ms", "objective, ms", "knee/s", "mean there, ms"
    )
    for curve in curves:
        limit, knee = curve.limit(), curve.knee()
        table.add_row(
            curve.pipeline, f"{limit.rate_per_s:.3g}", f"{limit.p95_s * 1000:.0f}",
            f"{curve.slo_p95_s * 1000:.0f}", f"{knee.rate_per_s:.3g}", f"{knee.mean_s * 1000:.0f}",
        )  # fmt: skip
    Console().print(table)


def _capacity(options: argparse.Namespace, rest: list[str]) -> int:
    curves = capacity.read_curves(options.capacity)
    prices = capacity.Prices(options.price, options.units, options.load, options.min_replicas)
    days = [float(one) for one in options.per_day.split(",")]
    needs = [capacity.need(curves, day, options.peak_factor, prices) for day in days]
    _print_curves(curves)
    table = Table("requests/day", "peak/s", "replicas at peak", "mean replicas",
                  "a month, always at peak", "a month, scaled")  # fmt: skip
    for one in needs:
        table.add_row(
            f"{one.requests_per_day:,.0f}", f"{one.peak_per_s:.3g}", str(one.peak_replicas),
            f"{one.mean_replicas:.1f}", f"{one.month_at_peak:,.0f}", f"{one.month_scaled:,.0f}",
        )  # fmt: skip
    Console().print(table)
    _write(options.out / "capacity.json", [asdict(one) for one in needs], quiet=True)
    return DONE


def _write(path: Path, content: Any, *, quiet: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if not quiet:
        print(json.dumps(content, indent=1))
    print(f"written: {path}")


_COMMANDS = {
    "run": _run,
    "server": _scenario,
    "offline": _scenario,
    "single": _scenario,
    "check": _check,
    "measure": _measure,
    "capacity": _capacity,
}


if __name__ == "__main__":
    sys.exit(main())

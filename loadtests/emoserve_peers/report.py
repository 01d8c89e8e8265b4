"""The section «Peers» of docs/benchmarks.md, and the goals for the terminal."""

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from rich.table import Table

from emoserve_peers import plot, video
from emoserve_peers.goals import Goal, goals
from emoserve_peers.records import Record
from emoserve_peers.rounds import QUIET_CORES, Series
from emoserve_peers.systems import CORES, SYSTEMS
from emoserve_peers.tables import COLUMNS, cells, rows, title

BEGIN, END = "<!-- peers: begin, written by `make bench` -->", "<!-- peers: end -->"
_NEW = "# Benchmarks\n\n"


def write(records: Mapping[str, Record], clips: video.Factors, page: Path, picture: Path) -> None:
    """Write the section between its markers, or at the page's end, and its picture."""
    plot.draw(records, picture)
    section = "\n".join([BEGIN, "", *_section(records, picture, page), *_clips(clips), "", END])
    text = page.read_text(encoding="utf-8") if page.exists() else _NEW
    before, begin, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    end = after if begin else "\n"
    page.write_text((before if begin else f"{text.rstrip()}\n\n") + section + end, encoding="utf-8")


def goals_table(found: Iterable[Goal]) -> Table:
    """Return the goals for the terminal."""
    table = Table("goal", "measured", "", title="Goals")
    for goal in found:
        table.add_row(goal.wanted, goal.measured, _verdict(goal), style="" if goal.met else "red")
    return table


def _verdict(goal: Goal) -> str:
    return "met" if goal.met else "missed"


def _section(records: Mapping[str, Record], picture: Path, page: Path) -> Iterator[str]:
    yield "## Peers"
    yield ""
    others = [share for one in _all_series(records) for share in one.others_cores] or [0.0]
    yield _METHOD.format(
        machine=_machine(),
        share=f"{_generator_share(records):.0%}",
        quiet=QUIET_CORES,
        others=median(others),
        worst=max(others),
    )
    yield f"![emoserve and its peers]({os.path.relpath(picture, page.parent)})"
    yield from ("", "### Goals", "")
    yield from _markdown(
        ("goal", "measured", ""), [(g.wanted, g.measured, _verdict(g)) for g in goals(records)]
    )
    for record in records.values():
        yield from ("", f"### {record.workload}: {record.what}", "")
        yield from _markdown((*COLUMNS, "errors"), _rows(record))
    yield from ("", "### Memory, start-up and rest", "")
    yield from _footprints(records)
    yield from ("", "### How each is set up", "")
    yield from _notes(records)


_METHOD = """\
`make bench` measured this on {machine}: all servers of a workload up at once, rounds that measure
every one in turn (each round begins with another), those that work when idle standing still
meanwhile (SIGSTOP). After its turn each works off what h2load left behind. One h2load for HTTP and
gRPC, servers and generator on the same two cores, of which h2load took at most {share}.
«x limit» is the median over the rounds of the rate over that of «no server, a thread per core» in
the same round, which does the same calls on the same bytes with nothing around them, one item per
call; a server that batches can pass 1. Latencies are medians over the rounds. The answers of every
server were equal to the limit's before anything was timed.
A measurement during which programs of others kept more than {quiet:g} of a core busy was taken
again, once. Of those that count, the median had {others:.2f} cores of others, the worst
{worst:.2f}.
Absolute figures hold for this machine only; ratios travel.
"""


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"two cores of an {model}, Python {platform.python_version()}"


def _clips(factors: video.Factors) -> Iterator[str]:
    if not factors:
        return
    yield from ("", "### video", "")
    yield f"Seconds of media analysed per second ({', '.join(video.CLIPS)}), over gRPC:"
    yield ""
    callers = next(iter(factors.values()))
    yield from _markdown(
        ("words", *(f"{count} callers" for count in callers)),
        [(kind, *(f"{one:.1f}" for one in row.values())) for kind, row in factors.items()],
    )


def _all_series(records: Mapping[str, Record]) -> Iterator[Series]:
    for record in records.values():
        for systems in record.series.values():
            yield from systems.values()


def _generator_share(records: Mapping[str, Record]) -> float:
    """Return the most that the generator took of the cores, over all measurements."""
    shares = [
        spent_us * rate_hz / 1e6 / CORES
        for one in _all_series(records)
        for spent_us, rate_hz in zip(one.generator_us, one.rates_hz, strict=True)
    ]
    return max(shares, default=0.0)


def _rows(record: Record) -> Iterator[Sequence[str]]:
    for row in rows(record.series):
        yield (*cells(row), str(row.errors))


def _footprints(records: Mapping[str, Record]) -> Iterator[str]:
    table = [
        (workload, title(name), f"{one.memory_mb:.0f}", f"{one.start_s:.2f}", f"{one.idle:.1%}")
        for workload, record in records.items()
        for name, one in record.footprints.items()
    ]
    columns = ("workload", "server", "memory MB", "start-up s", "idle, of a core")
    yield "Memory is the PSS of all processes after the rounds. Start-up is until the first answer,"
    yield "each server alone: the median of one start in each of the rounds."
    yield ""
    yield from _markdown(columns, table)


def _notes(records: Mapping[str, Record]) -> Iterator[str]:
    seen = {name for one in records.values() for systems in one.series.values() for name in systems}
    for name, system in SYSTEMS.items():
        if name in seen:
            source = f" ([source]({system.source}))" if system.source else ""
            yield f"- {system.title}: {system.setup}{source}."
    yield ""
    yield _ALL


_ALL = """\
All of them: OMP_WAIT_POLICY=PASSIVE, one ONNX Runtime thread and one OpenCV thread per worker,
access logs off, exact versions in `loadtests/peers/*/requirements.txt`."""


def _markdown(columns: Sequence[str], table: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in table:
        yield f"| {' | '.join(row)} |"

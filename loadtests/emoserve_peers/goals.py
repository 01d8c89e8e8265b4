"""The goals of the benchmark, each with the figure that meets or misses it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from emoserve_peers.records import Record
from emoserve_peers.rounds import Series, ratio
from emoserve_peers.systems import EMBEDDED, LIMIT, OURS, PARTS, PEERS, PROCESSES, TUNED
from emoserve_peers.tables import digits, title

IDLE_CORE = 0.02

Systems: TypeAlias = Mapping[str, Series]


@dataclass(frozen=True)
class Goal:
    """One goal: what is wanted, what was measured, and whether that is enough."""

    wanted: str
    measured: str
    met: bool


Judge: TypeAlias = Callable[[Systems], Goal | None]


def goals(records: Mapping[str, Record]) -> Iterator[Goal]:
    """Give the goals that the records can judge."""
    for workload, callers, judge in JUDGED:
        systems = records[workload].series.get(callers, {}) if workload in records else {}
        goal = judge(systems) if {EMBEDDED, LIMIT} <= set(systems) else None
        if goal:
            yield Goal(f"`{workload}`, {callers} callers: {goal.wanted}", goal.measured, goal.met)
    for record in records.values():
        yield from _footprint(record)


def ours(systems: Systems, reference: Series, names: Sequence[str] = OURS) -> tuple[str, float]:
    """Return emoserve's better protocol, or who else is named, and its ratio to a reference."""
    ratios = {name: ratio(systems[name], reference) for name in names if name in systems}
    best = max(ratios, key=lambda name: ratios[name])
    return best, ratios[best]


def _of(reference: str, least: float) -> Judge:
    def judge(systems: Systems) -> Goal | None:
        if reference not in systems:
            return None
        name, got = ours(systems, systems[reference])
        measured = f"{got:.2f} ({title(name)}"
        if reference == LIMIT:
            _, apart = ours(systems, systems[PROCESSES])
            measured += f"; {apart:.2f} x «{title(PROCESSES)}»"
        return Goal(f"at least {least:g} x «{title(reference)}»", f"{measured})", got >= least)

    return judge


def _of_best_peer(least: float, *, tuned: bool) -> Judge:
    def judge(systems: Systems) -> Goal | None:
        others = [name for name in PEERS if name in systems]
        if not others or (tuned and TUNED not in systems):
            return None
        best = max(others, key=lambda name: median(systems[name].rates_hz))
        name, got = ours(systems, systems[best], (TUNED,) if tuned else OURS)
        wanted = f"at least {least:g} x the best peer, {'tuned precision' if tuned else 'in fp32'}"
        return Goal(wanted, f"{got:.2f} x {title(best)} ({title(name)})", got >= least)

    return judge


def _tail(systems: Systems) -> Goal | None:
    others = {name: median(systems[name].p95_ms) for name in PEERS if name in systems}
    if not others:
        return None
    best = min(others, key=lambda name: others[name])
    own = min(median(systems[name].p95_ms) for name in OURS if name in systems)
    measured = f"{digits(own)} ms, {title(best)} {digits(others[best])} ms"
    return Goal("p95 no worse than the best peer's", measured, own <= others[best])


def _tuned(systems: Systems) -> Goal | None:
    if TUNED not in systems:
        return None
    got = ratio(systems[TUNED], systems[LIMIT])
    return Goal("tuned precision at least 2 x the fp32 limit", f"{got:.2f}", got >= 2)


def _footprint(record: Record) -> Iterator[Goal]:
    own = record.footprints.get(EMBEDDED)
    if own is None:
        return
    where = f"`{record.workload}`: "
    yield Goal(where + "idle below 2 % of a core", f"{own.idle:.1%}", own.idle < IDLE_CORE)
    others = {name: one for name, one in record.footprints.items() if name in PEERS}
    if not others:
        return
    small = min(others, key=lambda name: others[name].memory_mb)
    quick = min(others, key=lambda name: others[name].start_s)
    least, soonest = others[small].memory_mb, others[quick].start_s
    yield Goal(
        where + "memory no more than the leanest peer's",
        f"{own.memory_mb:.0f} MB, {title(small)} {least:.0f} MB",
        own.memory_mb <= least,
    )
    yield Goal(
        where + "start-up no longer than the quickest peer's",
        f"{own.start_s:.2f} s, {title(quick)} {soonest:.2f} s",
        own.start_s <= soonest,
    )


JUDGED: tuple[tuple[str, int, Judge], ...] = (
    ("face-tiny", 32, _of(LIMIT, 0.75)),
    *(("face-tiny", 32, _of_best_peer(1.2, tuned=tuned)) for tuned in (False, True)),
    *(("face-640", callers, _of(LIMIT, 0.95)) for callers in (8, 32)),
    *(("face-640", callers, _tail) for callers in (8, 32)),
    *(
        (workload, callers, judge)
        for workload in ("speech", "text")
        for callers in (8, 32)
        for judge in (_of(LIMIT, 0.95), _tuned)
    ),
    *(("emotion", callers, _of(PARTS, 0.90)) for callers in (8, 32)),
)

"""`emoserve k8s plan`: the forecast as a command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from emoserve_server.scaling._capacity import Capacity, Pipeline, read_capacity
from emoserve_server.scaling._configs import read_configs
from emoserve_server.scaling._target import Policy, plan
from emoserve_server.scaling.simulation._demand import spike
from emoserve_server.scaling.simulation._figures import draw_cases, draw_choices
from emoserve_server.scaling.simulation._forecast import (
    DEMANDS,
    LOADS,
    STARTUPS_S,
    Case,
    Question,
    case,
    cases,
    choices,
)
from emoserve_server.scaling.simulation._service import Service, fitted

EXACT_UP_TO_PER_S = 2000.0  # where all pods can be simulated too, to hold the sample against
_ALL = 10**9
_HEADER = (
    "| | requests/s | replicas | pod-hours | over | under | late | p99, worst minute | cost | "
    "of a million | saved |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def run(options: argparse.Namespace) -> None:
    """Simulate, print the tables and write the pictures."""
    capacity = read_capacity(options.capacity)
    pipeline = _pipeline(capacity, options.pipeline)
    made = plan(read_configs(options.repository), capacity, Policy())
    startup_s = options.startup or capacity.startup_s
    question = Question(pipeline, made, startup_s, options.price)
    options.output.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True)
    total = len(DEMANDS) * len(options.rates)
    found = list(track(cases(question, options.rates), "Days and spikes", total, console=progress))
    service = fitted(pipeline)
    print(_introduction(capacity, question, service))
    print(_HEADER, *(_row(one) for one in found), sep="\n")
    middle = sorted(options.rates)[len(options.rates) // 2]
    if middle <= EXACT_UP_TO_PER_S:
        print("\n" + _comparison(question, found, middle))
    total = len(STARTUPS_S) * len(LOADS)
    chosen = list(track(choices(question, middle), "Choices", total=total, console=progress))
    _write(options.output, question, found, [asdict(one) for one in chosen])
    for make in DEMANDS:
        some = [one for one in found if one.demand == make.__name__]
        draw_cases(some, pipeline.slo_p95_s, options.output / f"scaling_{make.__name__}.png")
    draw_choices(chosen, made.rules.load, options.output / "scaling_choices.png")
    print(f"\nPictures and forecast.json are in {options.output}")


def _pipeline(capacity: Capacity, name: str) -> Pipeline:
    for pipeline in capacity.pipelines:
        if pipeline.name == name:
            return pipeline
    measured = ", ".join(pipeline.name for pipeline in capacity.pipelines)
    raise ValueError(f"'{name}' was not measured; --pipeline can be: {measured}")


def _introduction(capacity: Capacity, question: Question, service: Service) -> str:
    knee = question.pipeline.knee()
    return (
        f"Measured: {capacity.measured}.\n"
        f"`{question.pipeline.name}`: a pod holds {knee.rate_per_s:g} requests/s within "
        f"{question.pipeline.slo_p95_s:g} s (p95), and is kept at a load of "
        f"{question.plan.rules.load:g}; simulated as {service.mean_s * 1000:.0f} ms for an "
        f"answer, {service.slack_s * 1000:.0f} ms of work without waiting, and at most "
        f"{service.limit_per_s:.1f} requests/s; "
        f"a pod starts in {question.startup_s:.0f} s and costs {question.price_per_hour:g} an "
        "hour.\n"
    )


def _row(one: Case) -> str:
    found = one.outcome
    return (
        f"| {one.demand} | {one.rate_per_s:,.0f} | {found.least} to {found.most} | "
        f"{found.pod_hours:,.0f} | {found.over:+.0%} | {found.under:.1%} | {found.late:.2%} | "
        f"{found.p99_s:.3f}, {found.worst_p99_s:.3f} s | {found.cost:,.2f} | "
        f"{found.cost_per_million:.2f} | {found.saved:.0%} |"
    )


def _comparison(question: Question, found: Sequence[Case], rate_per_s: float) -> str:
    """The spike with every pod simulated beside the one with a sample of them."""
    exact = case(question, spike(rate_per_s), rate_per_s, sample=_ALL)
    spikes = [one for one in found if one.demand == exact.demand]
    (sampled,) = (one for one in spikes if one.rate_per_s == rate_per_s)
    return "\n".join(
        ["Every pod simulated, and a sample of them:", "", _HEADER, _row(exact), _row(sampled)]
    )


def _write(
    folder: Path, question: Question, found: Sequence[Case], chosen: Sequence[dict[str, float]]
) -> None:
    content = {
        "pipeline": question.pipeline.name,
        "service": asdict(fitted(question.pipeline)),
        "startup_s": question.startup_s,
        "price_per_hour": question.price_per_hour,
        "cases": [
            {"demand": one.demand, "rate_per_s": one.rate_per_s, **asdict(one.outcome)}
            for one in found
        ],
        "spike_choices": list(chosen),
    }
    (folder / "forecast.json").write_text(json.dumps(content, indent=2) + "\n")

"""The autoscaling target, from Little's law instead of a guess.

A pod's load is counted in *requests in flight*, executing or waiting, because by Little's law
their mean is rate x time (https://doi.org/10.1287/opre.9.3.383): it grows with either, whatever
the mix of short and long clips. Each pipeline's requests in flight are divided by those that a full
pod has. The quotients of the pipelines add up to the pod's `load`: 1 is a full pod.

The autoscaler takes the load for proportional to the rate that comes to a pod. So a full pod's
requests in flight are the rate that it holds, times the mean time at the rate at which it is kept.
With the mean time at the full rate, in which requests wait for each other, pods at three quarters
of that rate would seem a quarter full: the autoscaler would give up pods that it needs, and did so
in the rehearsal (docs/scaling.md). Above the rate at which pods are kept, waiting makes the load
grow faster than the rate, which asks for pods early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emoserve_server.scaling._autoscaler import Direction, Limit, Rules
from emoserve_server.scaling._capacity import Capacity, Pipeline
from emoserve_server.scaling._configs import delay_s, instances_of, steps_of

# How old the picture is on which the autoscaler acts: half of the rate's window (60 s), one
# scrape and one rule evaluation (15 s each), one pass of the autoscaler (15 s by default).
METRIC_LAG_S = 75.0
# Up at once, at most twofold a minute, so that one wrong value cannot do much; from few pods by
# four. Down by a fifth a minute.
_UP = (Limit("Percent", 100, 60), Limit("Pods", 4, 60))
_DOWN = (Limit("Percent", 20, 60), Limit("Pods", 1, 60))


@dataclass(frozen=True)
class Policy:
    """What the operator decides."""

    growth_per_minute: float = 0.25  # by which share the traffic may grow in a minute
    min_replicas: int = 2  # one may be drained, upgraded or lost while the other answers
    max_replicas: int = 20


@dataclass(frozen=True)
class Plan:
    """The outcome: the constants of the manifests, and why they are so."""

    in_flight: dict[str, float]  # model -> requests in flight that fill one pod
    rules: Rules  # with the load at which a pod should be kept, below 1
    reasons: tuple[str, ...]


def plan(configs: dict[str, Any], capacity: Capacity, policy: Policy | None = None) -> Plan:
    """Return the targets for a repository, a measured pod and a policy.

    Raises:
        ValueError: a measured pipeline is not in the repository, or never kept its objective.
    """
    policy = policy or Policy()
    in_flight: dict[str, float] = {}
    load, why = _headroom(capacity, policy)
    reasons = [f"Measured: {capacity.measured}."]
    for pipeline in capacity.pipelines:
        if pipeline.name not in configs:
            raise ValueError(
                f"'{pipeline.name}' was measured, but the repository has {', '.join(configs)}"
            )
        held = full(pipeline, load)
        for model in steps_of(configs[pipeline.name]) or (pipeline.name,):
            in_flight[model] = round(held, 3)
        reasons += _pipeline_reasons(pipeline, configs, load)
    scale_down_after_s = max(300, round(5 * (capacity.startup_s + METRIC_LAG_S)))
    reasons += [why, _scale_down_reason(capacity, scale_down_after_s)]
    up, down = Direction(0, _UP), Direction(scale_down_after_s, _DOWN)
    rules = Rules(load, policy.min_replicas, policy.max_replicas, up, down)
    return Plan(in_flight, rules, tuple(reasons))


def full(pipeline: Pipeline, load: float) -> float:
    """Return the requests in flight that fill one pod, for pods kept at a load."""
    most = pipeline.knee().rate_per_s
    return most * pipeline.mean_at(load * most)


def _headroom(capacity: Capacity, policy: Policy) -> tuple[float, str]:
    """Return the load to keep, so that growth until new pods answer still fits."""
    reaction_s = METRIC_LAG_S + capacity.startup_s
    load = round(1 / (1 + policy.growth_per_minute * reaction_s / 60), 2)
    return load, (
        f"A new pod answers {reaction_s:.0f} s after the load came ({METRIC_LAG_S:.0f} s until "
        f"the autoscaler sees it, {capacity.startup_s:.0f} s to start). Traffic that grows by "
        f"{policy.growth_per_minute:.0%} a minute is by then {1 / load:.2f} times what it was, so "
        f"pods are kept at a load of {load:g}."
    )


def _scale_down_reason(capacity: Capacity, seconds: int) -> str:
    return (
        f"Pods are given back only when {seconds} s in a row needed fewer: five times what it "
        f"takes to get one back ({METRIC_LAG_S + capacity.startup_s:.0f} s), so that a dip costs "
        "less than the start it would cause; then at most a fifth of them each minute, for the "
        "connections to move."
    )


def _pipeline_reasons(pipeline: Pipeline, configs: dict[str, Any], load: float) -> list[str]:
    knee, held = pipeline.knee(), full(pipeline, load)
    config = configs[pipeline.name]
    steps = steps_of(config)
    said = [
        f"{pipeline.name}: {knee.rate_per_s:g} requests/s was the most that kept p95 "
        f"({knee.p95_s * 1000:.0f} ms) within {pipeline.slo_p95_s * 1000:.0f} ms; at the load to "
        f"keep the mean is {pipeline.mean_at(load * knee.rate_per_s) * 1000:.0f} ms, and so "
        f"{held:.3g} requests in flight are a full pod."
    ]
    if steps:
        said.append(
            f"{pipeline.name} is an ensemble: its own series would count its steps again, so "
            f"those of {', '.join(steps)} are used."
        )
    served = [configs[name] for name in steps or (pipeline.name,)]
    held_s = sum(delay_s(model) for model in served)
    if held_s:
        said.append(
            f"Its batching delay of {held_s * 1e6:.0f} us holds {knee.rate_per_s * held_s:.2g} of "
            "them; with an idle server next to none, since a rate multiplies it."
        )
    slots = min(instances_of(model) * max(model.max_batch_size, 1) for model in served)
    if held > slots:
        said.append(f"Only {slots} can execute at once (instances x batch size); the rest wait.")
    return said

"""One run: plain torch, every load on the real server, the ratio in interleaved rounds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emoserve_client import EmotionClient, ModelStatistics
from emoserve_gpu.generator import Generator, Heard, Order
from emoserve_gpu.plan import GOAL, GOAL_NETWORKS, MOST_ITEMS, Load, Plan
from emoserve_gpu.raw import RawNetwork, RawRate
from emoserve_gpu.sampling import Gpu, Sampler, Usage
from emoserve_gpu.works import NETWORKS, VIDEO, Work, network_inputs
from emoserve_server import EmbeddedTriton

_WARM_ROUNDS = 2  # of every batch size, so that kernels are chosen before the clock runs
_COMPARED = (1, 3, MOST_ITEMS)  # batch sizes: one that is filled up, and the largest
_TOLERANCE = 0.02  # of the largest value, at least of 1: both may round to TF32
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One load and what came of it.

    Attributes:
        loop: "closed", or "open" with Poisson arrivals at `offered_per_s` requests per second.
        items_per_s: answered items (request rate times items in a request).
        passes_per_s: items that the work's network answered per second, by Triton's statistics.
        mean_batch: items of that network in one execution, on average.
        queue_ms, compute_ms: means of that network, by Triton's statistics.
        sent_late_p99_ms: how late the generator sent, in an open loop.
    """

    model: str
    loop: str
    batch: int
    callers: int
    offered_per_s: float
    items_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    errors: dict[str, int]
    passes_per_s: float
    mean_batch: float
    queue_ms: float
    compute_ms: float
    sent_late_p99_ms: float | None
    usage: Usage

    def within(self, bound_ms: float) -> bool:
        """Whether nothing failed and p99 kept the bound."""
        return self.p99_ms is not None and self.p99_ms <= bound_ms and not self.errors


@dataclass
class Ratio:
    """A network's best served load against plain torch's best batch, round by round."""

    network: str
    load: Load
    raw_batch: int
    served_per_s: list[float] = field(default_factory=list)
    raw_per_s: list[float] = field(default_factory=list)
    host_per_s: list[float] = field(default_factory=list)

    @property
    def to_raw(self) -> float:
        """The median of served over torch with its tensors on the device."""
        return _median_ratio(self.served_per_s, self.raw_per_s)

    @property
    def to_host(self) -> float:
        """The same over torch that takes and gives numpy arrays."""
        return _median_ratio(self.served_per_s, self.host_per_s)

    @property
    def raw(self) -> float:
        return statistics.median(self.raw_per_s)


def _median_ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@dataclass
class Record:
    """All that a run saw; written after every part, so that a run cut short leaves something.

    `differences`: by network, the largest between served answers and torch's, of the largest value.
    """

    machine: dict[str, Any]
    backend: str
    plan: Plan
    startup_s: float = 0.0
    differences: dict[str, float] = field(default_factory=dict)
    raw: list[RawRate] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)

    def bound_ms(self, model: str) -> float:
        plan = self.plan
        return plan.network_bound_ms if model in NETWORKS else plan.pipeline_bound_ms

    def best(self, model: str) -> Trial | None:
        """Return the highest rate within the bound, None where no load kept it."""
        bound_ms = self.bound_ms(model)
        kept = [one for one in self.trials if one.model == model and one.within(bound_ms)]
        return max(kept, key=lambda trial: trial.items_per_s, default=None)

    def best_raw(self, network: str) -> RawRate | None:
        """Return plain torch's highest rate on the device within the same bound."""
        bound_ms = self.plan.network_bound_ms
        kept = [
            one
            for one in self.raw
            if one.network == network and one.resident and one.p99_ms <= bound_ms
        ]
        return max(kept, key=lambda one: one.items_per_s, default=None)

    def ratio(self, network: str) -> Ratio | None:
        return next((one for one in self.ratios if one.network == network), None)

    def met(self, ratio: Ratio) -> bool | None:
        """Return whether the goal was met; None where it does not speak of this run."""
        if ratio.network not in GOAL_NETWORKS or not self.machine["cuda_in_torch"]:
            return None
        return ratio.to_raw >= GOAL

    def to_json(self) -> dict[str, Any]:
        """Return everything with the goals met or missed."""
        content = asdict(self)
        for given, one in zip(content["ratios"], self.ratios, strict=True):
            given |= {"to_raw": one.to_raw, "to_host": one.to_host, "met": self.met(one)}
        return content | {"goal": GOAL}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


class WrongAnswerError(Exception):
    """The server answers other than torch does; the message says where and by how much."""


class Measurement:
    """Puts loads on a server that runs and fills a record."""

    def __init__(
        self, record: Record, triton: EmbeddedTriton, generator: Generator, device: str
    ) -> None:
        self._record, self._plan = record, record.plan
        self._triton, self._generator, self._device = triton, generator, device
        self._gpu = Gpu()
        self._client = EmotionClient(triton.grpc_url)

    def network(self, work: Work, progress: Progress, *, compiled: bool) -> None:
        """Measure a network alone: plain torch, then served, then both in turn."""
        name, plan = work.model, self._plan
        raw = RawNetwork(NETWORKS[name], self._device, compiled=compiled)
        inputs = network_inputs(NETWORKS[name])
        for batch in plan.torch_batches:
            part = {key: array[:batch] for key, array in inputs.items()}
            for resident in (True, False):
                progress(f"{name}: torch, batch {batch}")
                self._record.raw.append(raw.rate(part, plan.window_s / 2, resident=resident))
        self._warm(work, progress)
        for items in _COMPARED:
            progress(f"{name}: comparing answers, batch {items}")
            self._compare(work, raw, items)
        for load in plan.networks:
            self._closed(work, load, progress)
        self._open(work, progress)
        self._rounds(work, raw, progress)

    def pipeline(self, work: Work, progress: Progress) -> None:
        """Measure a pipeline: closed loop, then Poisson arrivals."""
        if self._plan.warm_s:
            heaviest = Load(1, max(self._plan.pipelines))
            progress(f"{work.model}: warming with {heaviest.callers} callers")
            self._generator.run(self._order(work, heaviest, 0.0, self._plan.warm_s))
        for callers in self._plan.pipelines:
            self._closed(work, Load(1, callers), progress)
        self._open(work, progress)

    def close(self) -> None:
        self._client.close()

    def _warm(self, work: Work, progress: Progress) -> None:
        model = self._client.model(work.model)
        sizes = {load.batch for load in self._plan.networks}
        largest = max(load.batch * load.callers for load in self._plan.networks)
        every = range(1, min(largest, len(next(iter(work.inputs.values())))) + 1)
        for items in sorted(sizes | set(every if self._device == "cuda" else ())):
            progress(f"{work.model}: warming batch {items}")
            for _ in range(_WARM_ROUNDS):
                model.infer(work.batch(items))

    def _compare(self, work: Work, raw: RawNetwork, items: int) -> None:
        """Hold served answers against torch's: a rate of wrong answers is worth nothing.

        Raises:
            WrongAnswerError: an output differs.
        """
        inputs = work.batch(items)
        served, wanted = self._client.model(work.model).infer(inputs), raw.answer(inputs)
        record = self._record.differences
        for name, values in wanted.items():
            found = float(np.abs(served[name] - values).max() / max(1.0, np.abs(values).max()))
            record[work.model] = max(record.get(work.model, 0.0), found)
            if not found <= _TOLERANCE:  # NaN too
                raise WrongAnswerError(
                    f"{work.model} answers other than torch for {items} items: output '{name}' "
                    f"differs by {found:.3g} of its largest value, accepted is {_TOLERANCE:g}"
                )

    def _closed(self, work: Work, load: Load, progress: Progress) -> None:
        progress(f"{work.model}: {load.callers} callers, {load.batch} items each")
        self._record.trials.append(self._trial(work, load, 0.0))

    def _open(self, work: Work, progress: Progress) -> None:
        best = self._record.best(work.model)
        if best is None:
            return
        load = Load(best.batch, max(best.callers, self._plan.processes))
        for share in self._plan.shares:
            rate = share * best.items_per_s / best.batch
            progress(f"{work.model}: arrivals at {rate:.0f}/s, {load.batch} items each")
            self._record.trials.append(self._trial(work, load, rate))

    def _rounds(self, work: Work, raw: RawNetwork, progress: Progress) -> None:
        """Served and plain torch in turn at the best of each, for ratios that drift cannot bend."""
        best, limit = self._record.best(work.model), self._record.best_raw(work.model)
        if best is None or limit is None:
            return
        ratio = Ratio(work.model, Load(best.batch, best.callers), limit.batch)
        inputs, seconds = work.batch(limit.batch), self._plan.window_s
        for number in range(self._plan.rounds):
            progress(f"{work.model}: round {number + 1} of {self._plan.rounds}")
            ratio.served_per_s.append(self._trial(work, ratio.load, best.offered_per_s).items_per_s)
            ratio.raw_per_s.append(raw.rate(inputs, seconds, resident=True).items_per_s)
            ratio.host_per_s.append(raw.rate(inputs, seconds, resident=False).items_per_s)
        self._record.ratios.append(ratio)

    def _trial(self, work: Work, load: Load, rate_per_s: float) -> Trial:
        order = self._order(work, load, rate_per_s, self._plan.window_s)
        assert self._triton.pid is not None
        before = self._statistics(work.network)
        with Sampler(self._gpu, self._triton.pid) as sampler:
            heard = self._generator.run(order)
        done = _Done(before, self._statistics(work.network))
        return _trial(order, load, heard, done, sampler.usage)

    def _order(self, work: Work, load: Load, rate_per_s: float, window_s: float) -> Order:
        inputs = work.inputs if work.model == VIDEO else work.batch(load.batch)
        return Order(self._triton.grpc_url, work.model, inputs, load.callers, rate_per_s,
                     self._plan.settle_s, window_s)  # fmt: skip

    def _statistics(self, network: str) -> ModelStatistics:
        (found,) = self._client.statistics(network).values()
        return found[0]


@dataclass(frozen=True)
class _Done:
    """What a network did between two looks at its statistics."""

    before: ModelStatistics
    after: ModelStatistics

    @property
    def items(self) -> int:
        return self.after.inference_count - self.before.inference_count

    @property
    def mean_batch(self) -> float:
        executions = self.after.execution_count - self.before.execution_count
        return self.items / executions if executions else 0.0

    def mean_ms(self, part: str) -> float:
        then, now = self.before.durations[part], self.after.durations[part]
        count = now.count - then.count
        return (now.total_ns - then.total_ns) / count / 1e6 if count else 0.0


def _trial(order: Order, load: Load, heard: Heard, done: _Done, usage: Usage) -> Trial:
    p50_ms, p99_ms = _percentiles_ms(heard.latency_s, (50, 99))
    (late_ms,) = _percentiles_ms(heard.late_s, (99,))
    requests = len(heard.latency_s) + sum(heard.errors.values())
    whole_s = order.settle_s + order.window_s
    return Trial(
        model=order.model,
        loop="open" if order.rate_per_s else "closed",
        batch=load.batch,
        callers=load.callers,
        offered_per_s=order.rate_per_s,
        items_per_s=len(heard.latency_s) * load.batch / order.window_s,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        errors=dict(heard.errors),
        passes_per_s=done.items / whole_s if requests else 0.0,
        mean_batch=done.mean_batch,
        queue_ms=done.mean_ms("queue"),
        compute_ms=done.mean_ms("compute_infer"),
        sent_late_p99_ms=late_ms,
        usage=usage,
    )


def _percentiles_ms(values_s: Sequence[float], wanted: Sequence[float]) -> list[float | None]:
    if not values_s:
        return [None] * len(wanted)
    return [float(one) * 1000 for one in np.percentile(values_s, wanted)]

"""`--tune`: the fastest precision on this machine that stays inside the accuracy budget.

Candidates run side by side with the float32 graph, round by round, one thread each as they are
served; speed is the median over rounds of the ratio within a round, so a machine that is busy at
times does not decide.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort

from emoserve_ensemble.networks import alike
from emoserve_ensemble.runtimes import Session
from emoserve_export.conversion import Converted
from emoserve_export.declaration import PRECISIONS, Arrays, Precision
from emoserve_export.errors import ExportError
from emoserve_export.golden import golden_pair
from emoserve_export.parity import compare
from emoserve_export.samples import Samples, batches, task_metric
from emoserve_export.sessions import Variant, open_session
from emoserve_export.variants import in_precision, variant_subject

ROUNDS = 5
ROUND_S = 0.2
BATCHES = (1, 8)
SHAPES = 8  # that are timed in turn, where a network's inputs have more than one
NOT_TRIED = "not tried: no gain for transformers"  # docs/decisions.md 15
WORTH = 1.05  # gains below this are noise: float32 stays


@dataclass
class Trial:
    """One candidate and how it did.

    Attributes:
        speed: batch size -> items per second relative to float32.
        agreement: share of evaluation items with float32's strongest class.
        metric: the task metric on the evaluation items, 0 to 1; None without labelled data.
        excluded: nodes that stayed in float32.
        problem: why it is not admissible, or empty.
    """

    precision: Precision
    size_bytes: int = 0
    speed: dict[int, float] = field(default_factory=dict)
    max_absolute: float = 0.0
    cosine: float = 1.0
    agreement: float = 1.0
    metric: float | None = None
    problem: str = ""
    excluded: tuple[str, ...] = ()
    variant: Variant | None = None

    @property
    def score(self) -> float:
        """Geometric mean of the speeds over batch sizes."""
        return float(np.exp(np.mean(np.log(list(self.speed.values()))))) if self.speed else 0.0

    def to_json(self) -> dict[str, Any]:
        kept = {key: value for key, value in vars(self).items() if key != "variant"}
        return kept | {"speed": {str(size): round(ratio, 3) for size, ratio in self.speed.items()}}


def tune(
    converted: Converted,
    samples: Samples | None,
    progress: Callable[[str], None] = lambda state: None,
) -> list[Trial]:
    """Return every candidate with its figures, float32 first.

    Without samples only speed and the parity samples' agreement are known, and INT8 by ranges is
    not tried.
    """
    trials = [
        Trial(precision, problem=NOT_TRIED)
        if precision == "int8_static" and converted.network.kind == "transformer"
        else _made(converted, precision, samples, progress)
        for precision in PRECISIONS
    ]
    ready = [trial for trial in trials if trial.variant is not None]
    sessions = {t.precision: _required(t).open() for t in ready}
    references: list[Arrays] = []
    for trial in ready:
        progress(f"{trial.precision}: accuracy")
        answers = _answers(sessions[trial.precision], converted, samples)
        references = references or answers
        _judge(trial, converted, samples, list(zip(references, answers, strict=True)))
        _check_as_steps_do(trial, converted, sessions[trial.precision])
    progress("speed, side by side")
    _measure_speed(ready, converted, samples)
    return trials


def fastest(trials: Sequence[Trial]) -> Trial:
    """Return the fastest admissible candidate; float32 unless another one is worth it.

    So with OpenVINO against ONNX Runtime: it is another package, and takes memory in each process.
    """
    base = trials[0]
    good = [trial for trial in trials if not trial.problem and trial.score >= WORTH]
    plain = [trial for trial in good if not trial.precision.startswith("openvino")]
    best, plainest = (max(some, key=lambda one: one.score, default=base) for some in (good, plain))
    return best if best.score >= WORTH * plainest.score else plainest


def _required(trial: Trial) -> Variant:
    if trial.variant is None:
        raise ExportError(f"{trial.precision} was not made: {trial.problem}")
    return trial.variant


def _made(
    converted: Converted,
    precision: Precision,
    samples: Samples | None,
    progress: Callable[[str], None],
) -> Trial:
    trial = Trial(precision)
    progress(f"{precision}: converting")
    try:
        made = in_precision(converted, precision, samples, progress)
        made.open()
    except ExportError as error:
        trial.problem = str(error)
    except (ort.capi.onnxruntime_pybind11_state.Fail, RuntimeError, ValueError) as error:
        trial.problem = f"not possible here: {str(error)[:160]}"
    else:
        trial.variant, trial.excluded = made, made.excluded
        trial.size_bytes = made.model.ByteSize()
    return trial


def _answers(session: Session, converted: Converted, samples: Samples | None) -> list[Arrays]:
    inputs = samples.evaluation.inputs if samples else None
    asked = batches(inputs, 32) if inputs else [given for given, _ in converted.pairs]
    return [session.run(one) for one in asked]


def _judge(
    trial: Trial,
    converted: Converted,
    samples: Samples | None,
    pairs: list[tuple[Arrays, Arrays]],
) -> None:
    network = converted.network
    rows = compare(variant_subject(network, trial.precision), trial.precision, pairs)
    trial.max_absolute = max(row.max_absolute for row in rows)
    trial.cosine = min(row.cosine for row in rows)
    trial.agreement = min(row.agreement for row in rows)
    trial.problem = "; ".join(f"{row.output} {row.problem}" for row in rows if row.problem)
    if samples:
        _measure_metric(trial, samples, pairs, network.budget.metric_points)


def _check_as_steps_do(trial: Trial, converted: Converted, session: Session) -> None:
    """Refuse what a step would refuse when it loads (`LocalNetworks.check`)."""
    variant = _required(trial)
    if trial.problem or variant.runtime.exact:
        return
    inputs, _ = golden_pair(converted.network, converted.pairs)
    stored, got = open_session(variant.model).run(inputs), session.run(inputs)
    wrong = [name for name in stored if not alike(got[name], stored[name], exact=False)]
    if wrong:
        trial.problem = f"a step would not load it: {', '.join(wrong)} of its golden request"


def _measure_metric(
    trial: Trial, samples: Samples, pairs: list[tuple[Arrays, Arrays]], points: float
) -> None:
    name = samples.evaluation.output
    before, after = (np.concatenate([pair[i][name] for pair in pairs]).argmax(1) for i in (0, 1))
    trial.metric = task_metric(samples.evaluation, after)
    lost = 100 * (task_metric(samples.evaluation, before) - trial.metric)
    if lost > points:
        also = f"{trial.problem}; " if trial.problem else ""
        trial.problem = f"{also}{samples.evaluation.metric} down by {lost:.2f} points"


def _measure_speed(trials: Sequence[Trial], converted: Converted, samples: Samples | None) -> None:
    sessions = {t.precision: _required(t).open(threads=1) for t in trials}
    for size in BATCHES if converted.network.batched else (BATCHES[-1],):
        asked = _timed_inputs(converted, samples, size)
        ratios: dict[Precision, list[float]] = {trial.precision: [] for trial in trials}
        for _ in range(ROUNDS):
            rates = {t.precision: _rate(sessions[t.precision], asked) for t in trials}
            for precision, rate in rates.items():
                ratios[precision].append(rate / rates["fp32"])
        for trial in trials:
            trial.speed[size] = float(np.median(ratios[trial.precision]))


def _timed_inputs(converted: Converted, samples: Samples | None, size: int) -> list[Arrays]:
    """Return requests of one shape where that is fixed, else of several, as they occur.

    A change of shape costs some runtimes more than the network itself (docs/decisions.md 15).
    """
    network = converted.network
    if not network.one_shape or not network.batched:
        # Files pad every item to the longest; the declared samples have lengths as they occur.
        return [network.sample(size, seed=seed) for seed in range(1, SHAPES + 1)]
    if samples and len(samples.evaluation.target) >= size:
        return [{name: array[:size] for name, array in samples.evaluation.inputs.items()}]
    return [network.sample(size, seed=1)]


def _rate(session: Session, asked: Sequence[Arrays]) -> float:
    """Return rounds of all requests per second, over `ROUND_S` or more."""
    for inputs in asked:
        session.run(inputs)
    start, rounds = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < ROUND_S or rounds == 0:
        for inputs in asked:
            session.run(inputs)
        rounds += 1
    return rounds / elapsed if elapsed else 0.0

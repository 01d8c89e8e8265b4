"""Does a network answer like the trained one? Per output, over pairs of answers, with a verdict."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.declaration import Arrays, Network, Tolerance
from emoserve_export.errors import ParityError

BATCHES = (1, 2, 5)
WINDOWS = (1, 4, 33)  # for networks whose first axis is time


@dataclass(frozen=True)
class Comparison:
    """How far one output is from the reference.

    Attributes:
        stage: what was compared ("onnx", "int8_static", "served", ...).
        max_absolute: largest absolute difference.
        max_relative: largest absolute difference over |reference|, which counts as at least a
            thousandth of its largest value: no division by next to nothing.
        cosine: least cosine over the items (1 where both are zero).
        agreement: share of items with the same strongest class; 1 for outputs without labels.
        lost_points: points of the task metric lost against the reference; None where it was not
            measured.
        problem: why it fails, or empty.
    """

    network: str
    output: str
    stage: str
    items: int
    max_absolute: float
    max_relative: float
    cosine: float
    agreement: float
    lost_points: float | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


@dataclass(frozen=True)
class Subject:
    """What is compared: a network's name, its outputs, which of them are classes, the tolerance."""

    name: str
    outputs: tuple[str, ...]
    classes: frozenset[str]
    tolerance: Tolerance

    @classmethod
    def of(cls, network: Network, tolerance: Tolerance | None = None) -> "Subject":
        names = tuple(tensor.name for tensor in network.outputs)
        return cls(network.name, names, frozenset(network.labels), tolerance or network.tolerance)


def parity_samples(network: Network) -> list[Arrays]:
    """Return the inputs on which a network is compared: several batch sizes, several seeds."""
    sizes = BATCHES if network.batched else WINDOWS
    most = network.serving.max_batch_size or max(sizes)
    return [network.sample(min(size, most), seed=seed) for seed, size in enumerate(sizes)]


def compare(
    subject: Subject, stage: str, pairs: Iterable[tuple[Arrays, Arrays]]
) -> list[Comparison]:
    """Return one comparison for each output over all (reference, answer) pairs."""
    gathered = list(pairs)
    return [
        _compare_output(subject, name, stage, [(a[name], b.get(name)) for a, b in gathered])
        for name in subject.outputs
    ]


def require_parity(rows: Sequence[Comparison]) -> None:
    """Raise ParityError when a comparison failed."""
    failed = [row for row in rows if not row.passed]
    if failed:
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ParityError(
            f"{first.network}: {first.output} after {first.stage} {first.problem}{more}", rows
        )


def _compare_output(
    subject: Subject, name: str, stage: str, pairs: Sequence[tuple[Array, Array | None]]
) -> Comparison:
    for reference, answer in pairs:
        wrong = _shape_problem(reference, answer)
        if wrong:
            return failed_comparison(subject.name, name, stage, wrong)
    tolerance = subject.tolerance
    measured = [_measure(a, np.asarray(b), name in subject.classes, tolerance) for a, b in pairs]
    items = sum(len(reference) for reference, _ in pairs)
    agreed = sum(m[3] * len(pair[0]) for m, pair in zip(measured, pairs, strict=True))
    absolute, relative = max(m[0] for m in measured), max(m[1] for m in measured)
    cosine = min(m[2] for m in measured)
    row = Comparison(subject.name, name, stage, items, absolute, relative, cosine, agreed / items)
    return _judged(row, all(m[4] for m in measured), tolerance)


def failed_comparison(network: str, output: str, stage: str, problem: str) -> Comparison:
    """Return a comparison that could not be made."""
    return Comparison(network, output, stage, 0, np.inf, np.inf, 0.0, 0.0, problem=problem)


def _judged(row: Comparison, close: bool, tolerance: Tolerance) -> Comparison:
    problems = []
    if not close:
        problems.append(f"differs by more than {tolerance.absolute:g} + {tolerance.relative:g} |x|")
    if row.cosine < tolerance.cosine:
        problems.append(f"cosine {row.cosine:.5f} below {tolerance.cosine}")
    if row.agreement < tolerance.agreement:
        problems.append(f"argmax agreement {row.agreement:.3f} below {tolerance.agreement}")
    return dataclasses.replace(row, problem="; ".join(problems))


def _shape_problem(reference: Array, answer: Array | None) -> str:
    if answer is None:
        return "the output is missing"
    if reference.shape != answer.shape:
        return f"shape {answer.shape}, expected {reference.shape}"
    if np.issubdtype(answer.dtype, np.floating) and not np.isfinite(answer).all():
        return "NaN or infinite values"
    return ""


def _measure(
    reference: Array, answer: Array, classes: bool, tolerance: Tolerance
) -> tuple[float, float, float, float, bool]:
    a, b = reference.astype(np.float64), answer.astype(np.float64)
    error = np.abs(a - b)
    floor = max(1e-9, float(np.abs(a).max(initial=0.0)) * 1e-3)
    same = (a.argmax(axis=-1) == b.argmax(axis=-1)).mean() if classes else 1.0
    return (
        float(error.max(initial=0.0)),
        float((error / np.maximum(np.abs(a), floor)).max(initial=0.0)),
        float(_cosines(a, b).min(initial=1.0)),
        float(same),
        bool((error <= tolerance.absolute + tolerance.relative * np.abs(a)).all()),
    )


def _cosines(a: Array, b: Array) -> Array:
    """Return the cosine of each item, float64 [items]; 1 where both are zero."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(both_zero, 1.0, (a * b).sum(axis=1) / np.maximum(norm, 1e-300))

"""Does an exported network answer like the trained one? Per output, on samples, with a verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from emoserve_ensemble.arrays import Tensor as Array
from onnx import ModelProto

from emoserve_export.declaration import Arrays, Network, Tolerance

BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class Comparison:
    """How far one output is from the reference.

    Attributes:
        stage: what was compared with what ("onnx", "int8_static", "served", ...).
        max_absolute: largest absolute difference.
        max_relative: largest absolute difference over the larger of |reference| and `floor`.
        cosine: least cosine over the items (1 where both are zero).
        agreement: share of items with the same strongest class; 1 for outputs without labels.
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
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


def open_session(model: ModelProto | bytes, threads: int = 2) -> ort.InferenceSession:
    """Return an ONNX Runtime session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(session: ort.InferenceSession, inputs: Arrays) -> Arrays:
    """Return a session's outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def parity_samples(network: Network) -> list[Arrays]:
    """Return the inputs on which a network is compared: several batch sizes, several seeds."""
    sizes = BATCHES if network.batched else (1, 4, 33)
    most = network.serving.max_batch_size or max(sizes)
    return [network.sample(min(size, most), seed=seed) for seed, size in enumerate(sizes)]


def compare(
    network: Network,
    stage: str,
    pairs: Iterable[tuple[Arrays, Arrays]],
    tolerance: Tolerance | None = None,
) -> list[Comparison]:
    """Return one comparison for each output over all (reference, answer) pairs."""
    tolerance = tolerance or network.tolerance
    gathered = list(pairs)
    return [
        _compare_output(
            network,
            tensor.name,
            stage,
            [(reference[tensor.name], answer.get(tensor.name)) for reference, answer in gathered],
            tolerance,
        )
        for tensor in network.outputs
    ]


def _compare_output(
    network: Network,
    name: str,
    stage: str,
    pairs: Sequence[tuple[Array, Array | None]],
    tolerance: Tolerance,
) -> Comparison:
    for reference, answer in pairs:
        wrong = _shape_problem(reference, answer)
        if wrong:
            return Comparison(network.name, name, stage, 0, np.inf, np.inf, 0.0, 0.0, wrong)
    labelled = name in network.labels
    measured = [_measure(a, np.asarray(b), labelled, tolerance) for a, b in pairs]
    items = sum(len(reference) for reference, _ in pairs)
    row = Comparison(
        network.name,
        name,
        stage,
        items,
        max(m[0] for m in measured),
        max(m[1] for m in measured),
        min(m[2] for m in measured),
        sum(m[3] * len(reference) for m, (reference, _) in zip(measured, pairs, strict=True))
        / items,
    )
    close = all(m[4] for m in measured)
    return _judged(row, close, tolerance)


def _judged(row: Comparison, close: bool, tolerance: Tolerance) -> Comparison:
    problems = []
    if not close:
        problems.append(f"differs by more than {tolerance.absolute:g} + {tolerance.relative:g} |x|")
    if row.cosine < tolerance.cosine:
        problems.append(f"cosine {row.cosine:.5f} below {tolerance.cosine}")
    if row.agreement < tolerance.agreement:
        problems.append(f"argmax agreement {row.agreement:.3f} below {tolerance.agreement}")
    return Comparison(**{**row.__dict__, "problem": "; ".join(problems)})


def _shape_problem(reference: Array, answer: Array | None) -> str:
    if answer is None:
        return "the output is missing"
    if reference.shape != answer.shape:
        return f"shape {answer.shape}, expected {reference.shape}"
    if np.issubdtype(answer.dtype, np.floating) and not np.isfinite(answer).all():
        return "NaN or infinite values"
    return ""


def _measure(
    reference: Array, answer: Array, labelled: bool, tolerance: Tolerance
) -> tuple[float, float, float, float, bool]:
    a, b = reference.astype(np.float64), answer.astype(np.float64)
    error = np.abs(a - b)
    floor = max(1e-3, float(np.abs(a).max(initial=0.0)) * 1e-3)
    rows_a, rows_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    # [items]
    norm = np.linalg.norm(rows_a, axis=1) * np.linalg.norm(rows_b, axis=1)
    dot = (rows_a * rows_b).sum(axis=1)
    both_zero = (rows_a == 0).all(axis=1) & (rows_b == 0).all(axis=1)
    cosine = np.where(both_zero, 1.0, dot / np.maximum(norm, 1e-300))
    same = (rows_a.argmax(axis=1) == rows_b.argmax(axis=1)).mean() if labelled else 1.0
    return (
        float(error.max(initial=0.0)),
        float((error / np.maximum(np.abs(a), floor)).max(initial=0.0)),
        float(cosine.min(initial=1.0)),
        float(same),
        bool((error <= tolerance.absolute + tolerance.relative * np.abs(a)).all()),
    )

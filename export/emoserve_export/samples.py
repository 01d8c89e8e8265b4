"""Real data for calibration, parity and the task metric: a `.npz` file for each network.

<input>               the items; first axis: item
target                int64 [items], index into the labels of `output`
output, metric        names; by default the first output with labels, and accuracy
calibration/<input>   other items, for INT8 ranges and parity; by default a quarter of the items,
                      which are then not used for the metric
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.declaration import Arrays, Evaluation, Network
from emoserve_export.errors import DeclarationError
from emoserve_export.parity import Comparison

MOST_CALIBRATION = 1024
MOST_EVALUATED = 2000
MOST_COMPARED = 512
COMPARED_AT_ONCE = 32
METRICS = ("accuracy", "macro_recall", "weighted_f1")


@dataclass(frozen=True)
class Samples:
    """Real items of a network: some to calibrate with, others to measure with."""

    calibration: Arrays
    evaluation: Evaluation


def network_samples(network: Network, folder: Path | None) -> Samples | None:
    """Return a network's samples from `<folder>/<network>.npz`, else those it declares, or None.

    Raises:
        DeclarationError: the file does not fit the declaration.
    """
    path = folder / f"{network.name}.npz" if folder else None
    if path is not None and path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return _samples(network, {key: file[key] for key in file.files}, str(path))
    if network.evaluation is None:
        return None
    declared = network.evaluation()
    return _split(declared, None)


def _samples(network: Network, arrays: dict[str, Any], where: str) -> Samples:
    names = [tensor.name for tensor in network.inputs]
    missing = [name for name in [*names, "target"] if name not in arrays]
    if missing:
        raise DeclarationError(f"{where}: {missing} missing; it has {sorted(arrays)}")
    output = str(arrays.get("output", next(iter(network.labels), "")))
    metric: Any = str(arrays.get("metric", "accuracy"))
    if output not in network.labels or metric not in METRICS:
        raise DeclarationError(
            f"{where}: output {output!r}, metric {metric!r}; known are {list(network.labels)} "
            f"and {list(METRICS)}"
        )
    evaluation = Evaluation(
        {name: arrays[name] for name in names}, arrays["target"], output, metric
    )
    apart = {name: arrays.get(f"calibration/{name}") for name in names}
    given = {name: array for name, array in apart.items() if array is not None}
    return _split(evaluation, given if len(given) == len(names) else None)


def _split(evaluation: Evaluation, calibration: Arrays | None) -> Samples:
    """Return the samples in random order: data sets are sorted, and a part must speak for all."""
    order = np.random.default_rng(0).permutation(len(evaluation.target))
    if calibration is None:
        count = min(MOST_CALIBRATION, len(order) // 4)
        calibration = {name: array[order[:count]] for name, array in evaluation.inputs.items()}
        order = order[count:]
    order = order[:MOST_EVALUATED]
    inputs = {name: array[order] for name, array in evaluation.inputs.items()}
    target = evaluation.target[order]
    return Samples(calibration, dataclasses.replace(evaluation, inputs=inputs, target=target))


def task_metric(evaluation: Evaluation, predicted: Array) -> float:
    """Return accuracy, macro recall or weighted F1, 0 to 1.

    Args:
        predicted: int [items], index of the strongest class.
    """
    target = evaluation.target
    if evaluation.metric == "accuracy":
        return float((predicted == target).mean())
    classes = np.unique(target)
    hit = np.asarray([((predicted == c) & (target == c)).sum() for c in classes], float)
    support = np.asarray([(target == c).sum() for c in classes], float)
    recall = hit / support
    if evaluation.metric == "macro_recall":
        return float(recall.mean())
    named = np.asarray([(predicted == c).sum() for c in classes], float)
    f1 = 2 * hit / np.maximum(support + named, 1)
    return float((f1 * support).sum() / support.sum())


def batches(inputs: Arrays, size: int) -> list[Arrays]:
    """Return the inputs in pieces of at most `size` items along their first axis."""
    items = len(next(iter(inputs.values())))
    return [
        {name: array[start : start + size] for name, array in inputs.items()}
        for start in range(0, items, size)
    ]


def real_items(samples: Samples | None, most: int = MOST_COMPARED) -> list[Arrays]:
    """Return the first evaluation items in batches; none without samples.

    PyTorch is asked about `MOST_COMPARED`; graphs, which are faster, about all of them.
    """
    if samples is None:
        return []
    few = {name: array[:most] for name, array in samples.evaluation.inputs.items()}
    return batches(few, COMPARED_AT_ONCE)


def with_metric(
    rows: Sequence[Comparison],
    samples: Samples,
    references: Sequence[Arrays],
    answers: Sequence[Arrays],
    budget_points: float,
    most: int = MOST_COMPARED,
) -> list[Comparison]:
    """Return the comparisons, that of the labelled output with the task metric's loss.

    Args:
        references, answers: outputs for `real_items(samples, most)`, in order; more may follow.
    """
    evaluation = samples.evaluation
    count = len(real_items(samples, most))
    few = dataclasses.replace(evaluation, target=evaluation.target[:most])
    before, after = (
        task_metric(few, np.concatenate([o[evaluation.output] for o in side[:count]]).argmax(1))
        for side in (references, answers)
    )
    lost = 100 * (before - after)
    return [
        _with_loss(row, lost, budget_points) if row.output == evaluation.output else row
        for row in rows
    ]


def _with_loss(row: Comparison, lost: float, budget_points: float) -> Comparison:
    problem = row.problem
    if lost > budget_points:
        problem = f"{problem}; " if problem else ""
        problem += f"task metric down by {lost:.2f} points, at most {budget_points} are accepted"
    return dataclasses.replace(row, lost_points=lost, problem=problem)

"""Figures of merit from labels and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassFigures:
    """One class: precision, recall and F1 in [0, 1], and how many examples there are."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion(truth: Tensor, probabilities: Tensor) -> Tensor:
    """Returns int64 [classes, classes]: rows are the truth, columns the answer.

    Args:
        truth: int64 [examples].
        probabilities: float32 [examples, classes]; the largest is the answer.
    """
    classes = probabilities.shape[1]
    pairs = truth * classes + probabilities.argmax(dim=1)
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def accuracy(truth: Tensor, probabilities: Tensor) -> float:
    """Returns the share of right answers."""
    return float((probabilities.argmax(dim=1) == truth).float().mean())


def macro_recall(truth: Tensor, probabilities: Tensor) -> float:
    """Returns the mean recall over the classes that occur."""
    matrix = confusion(truth, probabilities).double()
    support = matrix.sum(dim=1)
    recall = matrix.diagonal()[support > 0] / support[support > 0]
    return float(recall.mean())


def weighted_f1(truth: Tensor, probabilities: Tensor) -> float:
    """Returns the mean F1 of the classes, weighted by how often each occurs."""
    labels = [str(number) for number in range(probabilities.shape[1])]
    rows = class_figures(confusion(truth, probabilities), labels)
    return sum(row.f1 * row.support for row in rows) / max(1, sum(row.support for row in rows))


def class_figures(matrix: Tensor, labels: list[str]) -> list[ClassFigures]:
    """Returns precision, recall and F1 per class of a confusion matrix; 0 where undefined."""
    right = matrix.diagonal().double()
    answered, support = matrix.sum(dim=0).double(), matrix.sum(dim=1).double()
    precision = right / answered.clamp_min(1)
    recall = right / support.clamp_min(1)
    f1 = 2 * right / (answered + support).clamp_min(1)
    return [
        ClassFigures(label, float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
    ]


def rarity(labels: Sequence[int], classes: int, power: float) -> Tensor:
    """Returns class weights [classes], (largest count / count) ** power; mean 1.

    Args:
        labels: of all examples.
        classes: how many there are.
        power: 0 makes all equal, 1 gives every class the same say.
    """
    counts = torch.bincount(torch.tensor(labels), minlength=classes).float().clamp_min(1)
    weight = (counts.max() / counts) ** power
    return weight * counts.sum() / (weight * counts).sum()

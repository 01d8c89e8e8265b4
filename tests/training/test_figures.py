"""Figures of merit equal those worked out by hand, and scikit-learn's."""

from __future__ import annotations

import pytest
import torch

from emoserve_training.figures import accuracy, class_figures, confusion, macro_recall, weighted_f1

TRUTH = torch.tensor([0, 0, 0, 1, 1, 2])
ANSWERS = torch.tensor([0, 0, 1, 1, 0, 2])
PROBABILITIES = torch.nn.functional.one_hot(ANSWERS, 4).float()


def test_confusion_has_the_truth_in_rows() -> None:
    assert confusion(TRUTH, PROBABILITIES).tolist() == [
        [2, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def test_scores_worked_out_by_hand() -> None:
    assert accuracy(TRUTH, PROBABILITIES) == pytest.approx(4 / 6)
    assert macro_recall(TRUTH, PROBABILITIES) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # F1: 2/3, 1/2 and 1, for 3, 2 and 1 examples
    assert weighted_f1(TRUTH, PROBABILITIES) == pytest.approx((2 + 1 + 1) / 6)


def test_classes_that_never_occur_are_zero_not_an_error() -> None:
    rows = class_figures(confusion(TRUTH, PROBABILITIES), ["a", "b", "c", "d"])
    assert (rows[0].precision, rows[0].recall) == pytest.approx((2 / 3, 2 / 3))
    assert (rows[3].precision, rows[3].recall, rows[3].f1, rows[3].support) == (0, 0, 0, 0)


def test_weighted_f1_equals_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(5)
    truth = torch.randint(7, (400,), generator=generator)
    probabilities = torch.rand(400, 7, generator=generator)
    answers = probabilities.argmax(dim=1)
    wanted = metrics.f1_score(truth.numpy(), answers.numpy(), average="weighted")
    assert weighted_f1(truth, probabilities) == pytest.approx(wanted)

"""The gate: each way to differ is seen, and none is seen where there is none."""

import numpy as np
import pytest

from emoserve_export.conversion import convert
from emoserve_export.declaration import Network, Tolerance
from emoserve_export.errors import ParityError
from emoserve_export.parity import Subject, compare, require_parity

from .conftest import Declare

SUBJECT = Subject("net", ("p",), frozenset({"p"}), Tolerance(1e-3, 1e-2, 0.999, 1.0))
REFERENCE = np.asarray([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)


def judge(answer: np.ndarray | None) -> str:
    outputs = {} if answer is None else {"p": answer}
    return compare(SUBJECT, "test", [({"p": REFERENCE}, outputs)])[0].problem


def test_equal_answers_pass_with_exact_figures() -> None:
    row = compare(SUBJECT, "test", [({"p": REFERENCE}, {"p": REFERENCE.copy()})])[0]
    assert (row.items, row.max_absolute, row.max_relative, row.agreement) == (2, 0.0, 0.0, 1.0)
    assert row.cosine == pytest.approx(1.0)
    assert row.passed


def test_figures_are_those_of_the_worst_item() -> None:
    answer = REFERENCE.copy()
    answer[1, 2] = 0.603
    row = compare(SUBJECT, "test", [({"p": REFERENCE}, {"p": answer})])[0]
    assert row.max_absolute == pytest.approx(0.003, rel=1e-4)
    assert row.max_relative == pytest.approx(0.005, rel=1e-4)
    assert row.passed


def test_a_value_too_far_off_fails() -> None:
    assert "differs by more than 0.001 + 0.01 |x|" in judge(REFERENCE + 0.02)


def test_another_strongest_class_fails() -> None:
    assert "argmax agreement 0.500 below 1.0" in judge(
        REFERENCE[:, ::-1][[0, 0]] * [[1], [0]] + REFERENCE * [[0], [1]]
    )


def test_another_direction_fails() -> None:
    assert "cosine" in judge(REFERENCE[:, ::-1].copy())


def test_values_that_are_no_numbers_fail() -> None:
    answer = REFERENCE.copy()
    answer[0, 0] = np.nan
    assert judge(answer) == "NaN or infinite values"


def test_another_shape_and_a_missing_output_fail() -> None:
    assert judge(REFERENCE[:, :2]) == "shape (2, 2), expected (2, 3)"
    assert judge(None) == "the output is missing"


def test_values_near_zero_do_not_explode() -> None:
    subject = Subject("net", ("p",), frozenset(), Tolerance(1e-3, 1e-2, 0.0, 0.0))
    pair = ({"p": np.zeros((1, 3), np.float32)}, {"p": np.full((1, 3), 1e-12, np.float32)})
    row = compare(subject, "test", [pair])[0]
    assert row.max_relative == pytest.approx(1e-3)
    assert row.passed


def test_a_conversion_that_changes_a_weight_is_stopped(variant: Declare) -> None:
    network: Network = variant(prepare="spoil")
    with pytest.raises(ParityError, match="tiny_net: emotion after onnx differs by more than"):
        convert(network)


def test_the_error_carries_every_comparison() -> None:
    rows = compare(SUBJECT, "test", [({"p": REFERENCE}, {"p": REFERENCE + 0.02})])
    with pytest.raises(ParityError) as caught:
        require_parity(rows)
    assert caught.value.rows == tuple(rows)

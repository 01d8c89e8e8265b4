"""The form can say what published systems serve: exported, checked, served, verified."""

from pathlib import Path

import numpy as np
import pytest

from emoserve_export import cli_verify
from emoserve_export.configs.lint import check_repository
from emoserve_export.configs.reading import read_config
from emoserve_export.exporting import Choices, Report, export
from emoserve_server import EmbeddedTriton

from .seed_networks import declared


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seed") / "repo"


@pytest.fixture(scope="module")
def report(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return export(
        declared(tmp_path_factory.mktemp("weights")), repository, Choices(with_steps=False)
    )


def test_stacked_windows_masks_and_machines_keep_parity(report: Report) -> None:
    assert {(row.network, row.output) for row in report.rows} == {
        ("windows_lstm", "emotion"),
        ("masked_frames", "log_emotion"),
        ("support_vectors", "gender_emotion"),
        ("support_vectors", "emotion"),
    }
    assert all(row.passed and row.max_absolute < 1e-4 for row in report.rows)


def test_their_configs_say_sequence_mask_and_labels(report: Report, repository: Path) -> None:
    assert report.versions == {"windows_lstm": 1, "masked_frames": 1, "support_vectors": 1}
    assert check_repository(repository, None) == ([], 3)
    config = read_config(repository / "masked_frames" / "config.pbtxt")
    assert [list(tensor.dims) for tensor in config.input] == [[-1, 3, 112, 112], [-1]]
    config = read_config(repository / "windows_lstm" / "config.pbtxt")
    assert list(config.input[0].dims) == [5, 128, 128, 1]
    labels = (repository / "support_vectors" / "gender_emotion.labels.txt").read_text().split()
    assert labels[:2] == ["f_angry", "f_disgust"]
    assert len(labels) == 14


def test_they_are_served_as_they_were_trained(report: Report, repository: Path) -> None:
    assert report.changed
    with EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        options = ["--url", server.grpc_url, "--repository", str(repository)]
        assert cli_verify.main(options) == 0


def test_the_machine_is_scikit_learns() -> None:
    svm = pytest.importorskip("sklearn.svm")
    import torch

    from .seed_networks import SupportVectors

    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(120, 6)), np.repeat(np.arange(4), 30)
    fitted = svm.SVC(C=3, gamma=0.05, decision_function_shape="ovo").fit(features, target)
    module = SupportVectors(6, 6, 4, len(fitted.support_vectors_))
    module.mean.zero_()
    module.components.copy_(torch.eye(6))
    module.support.copy_(torch.from_numpy(fitted.support_vectors_))
    module.coefficients.copy_(torch.from_numpy(one_against_one(fitted)))
    module.intercept.copy_(torch.from_numpy(fitted.intercept_))
    module.gamma.fill_(0.05)
    both, _ = module(torch.from_numpy(features.astype(np.float32)))
    np.testing.assert_array_equal(both.argmax(1).numpy(), fitted.predict(features))


def one_against_one(fitted: object) -> np.ndarray:
    """Return [pairs, vectors]: libsvm's packed coefficients, one row for each pair of classes."""
    classes = len(fitted.n_support_)  # type: ignore[attr-defined]
    ends = np.cumsum(fitted.n_support_)  # type: ignore[attr-defined]
    own = [slice(end - count, end) for end, count in zip(ends, fitted.n_support_, strict=True)]  # type: ignore[attr-defined]
    packed = fitted.dual_coef_  # type: ignore[attr-defined]
    rows = []
    for first in range(classes):
        for second in range(first + 1, classes):
            row = np.zeros(packed.shape[1])
            row[own[first]] = packed[second - 1, own[first]]
            row[own[second]] = packed[first, own[second]]
            rows.append(row)
    return np.asarray(rows)

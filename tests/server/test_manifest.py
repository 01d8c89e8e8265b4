"""A repository that differs from what was exported is refused, and each file is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from emoserve_server import RepositoryError, manifest


@pytest.fixture
def exported(tmp_path) -> Path:
    """Two files and their manifest."""
    files = {"face_net/1/model.onnx": b"face", "text_net/1/model.onnx": b"text" * 1_000_000}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1, "files": digests}))
    return tmp_path


def test_what_was_exported_passes(exported):
    assert manifest.verify(exported) == 2


def test_without_a_manifest_nothing_is_compared(tmp_path):
    assert manifest.verify(tmp_path) == 0


def test_changed_and_missing_files_are_named(exported):
    (exported / "face_net/1/model.onnx").write_bytes(b"fake")
    (exported / "text_net/1/model.onnx").unlink()
    with pytest.raises(RepositoryError) as caught:
        manifest.verify(exported)
    assert "face_net/1/model.onnx was changed" in str(caught.value)
    assert "text_net/1/model.onnx is gone" in str(caught.value)
    assert "--no-verify" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"format": 2, "files": {}}', "not a manifest of format 1"),
        ("[]", "not a manifest of format 1"),
        ('{"format": 1, "files": {"../secret": "00"}}', r"\.\./secret lies outside"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, content, message):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RepositoryError, match=message):
        manifest.verify(tmp_path)

"""Checkpoints load strictly, say what they are, and stay small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emoserve_export import checkpoints  # noqa: E402
from emoserve_export.networks import FaceNet, FusionNet  # noqa: E402

HEADER = {"network": "face", "version": "1"}


def test_saved_weights_come_back(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = FaceNet().eval()
    checkpoints.save(network, tmp_path / "face.safetensors", HEADER)
    found = checkpoints.load("face", tmp_path / "face.safetensors")
    assert found.metadata == HEADER
    assert not found.network.training
    face = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(found.network(face).emotion, network(face).emotion)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    checkpoints.save(FusionNet(), tmp_path / "face.safetensors", HEADER)
    with pytest.raises(checkpoints.CheckpointError, match="does not fit the network 'face'"):
        checkpoints.load("face", tmp_path / "face.safetensors")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.safetensors").write_bytes(b"pickle?")
    with pytest.raises(checkpoints.CheckpointError, match="cannot be read as safetensors"):
        checkpoints.load("face", tmp_path / "face.safetensors")


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(checkpoints.CheckpointError, match="there are: face, speech, text, fusion"):
        checkpoints.load("smell")


@pytest.mark.parametrize("name", ["face", "speech", "fusion"])
def test_the_committed_ones_load_and_say_what_they_are(name: str) -> None:
    found = checkpoints.load(name)
    assert found.metadata["network"] == name
    assert found.metadata["version"] == "1"
    assert found.metadata["seed"].isdigit()
    assert found.metadata["command"].startswith(f"python -m emoserve_training {name} ")
    assert found.metadata["preprocessing"]
    labels = json.loads(found.metadata["labels"])
    assert labels["emotion"] == list(found.network.labels)  # type: ignore[arg-type]


def test_fusion_was_trained_on_the_embeddings_of_the_committed_networks() -> None:
    wanted = json.loads(checkpoints.load("fusion").metadata["embeddings_of"])
    for name in ("face", "speech", "text"):
        found = hashlib.sha256((checkpoints.FOLDER / f"{name}.safetensors").read_bytes())
        assert found.hexdigest() == wanted[name], f"train fusion again: {name} has changed"


def test_all_together_are_small_and_each_has_a_card() -> None:
    files = [checkpoints.FOLDER / f"{name}.safetensors" for name in checkpoints.NETWORKS]
    assert sum(file.stat().st_size for file in files) < 8_000_000
    for file in files:
        assert "## Limits" in file.with_suffix(".md").read_text()
        assert file.with_name(f"{file.stem}_confusion.png").read_bytes()[:4] == b"\x89PNG"

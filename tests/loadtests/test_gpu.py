"""The GPU script: what is cut can be joined or names its damage, and the CPU path measures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from emoserve_gpu import command
from emoserve_gpu.environment import WHEELS
from emoserve_gpu.pieces import LARGEST_BYTES, MANIFEST, PieceError, cut, join, read_manifest

ROOT = Path(__file__).resolve().parents[2]
PIECE_BYTES = 10_000


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files of different sizes, one of them empty."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, size in enumerate((0, 7, 25_001)):
        (folder / f"{number}.whl").write_bytes(bytes(at * number % 251 for at in range(size)))
    return sorted(folder.iterdir())


def test_pieces_join_to_the_same_files(files: list[Path], tmp_path: Path) -> None:
    pieces = cut(files, tmp_path / "pieces", PIECE_BYTES)
    assert [piece.size_bytes for piece in pieces[:-1]] == [PIECE_BYTES] * (len(pieces) - 1)
    assert 0 < pieces[-1].size_bytes <= PIECE_BYTES
    assert read_manifest(tmp_path / "pieces") == pieces
    joined = join(tmp_path / "pieces", tmp_path / "joined")
    assert [path.name for path in joined] == [path.name for path in files]
    assert [path.read_bytes() for path in joined] == [path.read_bytes() for path in files]


@pytest.mark.parametrize("damage", ["flipped", "shorter", "missing"])
def test_a_damaged_piece_is_named_and_nothing_is_joined(
    files: list[Path], tmp_path: Path, damage: str
) -> None:
    cut(files, tmp_path / "pieces", PIECE_BYTES)
    piece = tmp_path / "pieces" / "piece-01"
    data = piece.read_bytes()
    if damage == "missing":
        piece.unlink()
    else:
        piece.write_bytes(data[:-1] if damage == "shorter" else b"\xff" + data[1:])
    with pytest.raises(PieceError, match="piece-01"):
        join(tmp_path / "pieces", tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_pieces_need_their_manifest(tmp_path: Path) -> None:
    with pytest.raises(PieceError, match=MANIFEST):
        join(tmp_path, tmp_path / "joined")


def test_a_piece_is_never_larger_than_can_be_sent(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most"):
        cut(files, tmp_path / "pieces", LARGEST_BYTES + 1)


def test_cutting_again_leaves_no_old_pieces(files: list[Path], tmp_path: Path) -> None:
    cut(files, tmp_path / "pieces", PIECE_BYTES)
    (piece,) = cut(files, tmp_path / "pieces", LARGEST_BYTES)
    assert [path.name for path in tmp_path.glob("pieces/piece-*")] == [piece.name]


def test_every_wheel_is_pinned_by_hash() -> None:
    lines = [line for line in WHEELS.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) >= 10
    assert all("==" in line and " --hash=sha256:" in line for line in lines)


def test_install_names_the_damaged_piece(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(files, tmp_path / "pieces", PIECE_BYTES)
    (tmp_path / "pieces" / "piece-02").write_bytes(b"")
    given = ["install", "--from", str(tmp_path / "pieces"), "--work", str(tmp_path / "work")]
    assert command.main(given) == 1
    assert "piece-02 is damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_the_cpu_path_measures(repository: Path, tmp_path: Path) -> None:
    given = ["--plan", "tiny", "--only", "fusion_net", "--repository", str(repository)]
    done = subprocess.run(
        [sys.executable, ROOT / "loadtests" / "gpu.py", "run", *given, "--out", tmp_path / "out",
         "--work", tmp_path / "work"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {one["batch"] for one in content["raw"]} == {1, 8}
    assert {one["loop"] for one in content["trials"]} == {"closed", "open"}
    for trial in content["trials"]:
        assert trial["errors"] == {}
        assert trial["items_per_s"] > 0
        assert trial["mean_batch"] >= 1
        assert 0 < trial["p50_ms"] <= trial["p99_ms"]
    (ratio,) = content["ratios"]
    assert ratio["to_raw"] > 0
    assert 0 < content["differences"]["fusion_net"] < 0.02
    # The goal speaks of a GPU.
    on_gpu = content["machine"]["cuda_in_torch"]
    assert ratio["met"] == (ratio["to_raw"] >= content["goal"] if on_gpu else None)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.md", "networks.png", "batches.png", "ratio.png", "triton.log"} <= names
    assert "fusion_net" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
def test_wrong_answers_are_not_measured(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(repository / "fusion_net", copy / "fusion_net")
    (path,) = copy.glob("fusion_net/*/model.onnx")
    network = onnx.load(path)
    (bias,) = [one for one in network.graph.initializer if one.name == "emotion_head.bias"]
    raised = numpy_helper.to_array(bias) + np.eye(7, dtype=np.float32)[3]
    bias.CopyFrom(numpy_helper.from_array(raised, bias.name))
    onnx.save(network, path)
    given = ["--plan", "tiny", "--only", "fusion_net", "--repository", str(copy)]
    assert command.main(["run", *given, "--out", str(tmp_path), "--work", str(tmp_path)]) == 1
    words = " ".join(capsys.readouterr().out.split())
    assert "fusion_net answers other than torch for 1 items: output 'emotion' differs by" in words


@pytest.mark.slow
def test_what_a_new_batch_size_costs_is_measured(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "shapes.json"
    given = ["--only", "fusion_net,face_net", "--repository", str(repository), "--out", str(out)]
    assert command.main(["shapes", *given, "--work", str(tmp_path)]) == 0
    found = json.loads(out.read_text())
    assert {one["network"] for one in found} == {"fusion_net", "face_net"}
    for one in found:
        assert 0 < one["changing_ms"] <= one["slowest_ms"]
        assert one["same_ms"] > 0


def test_shapes_name_a_network_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["shapes", "--only", "face"]) == 1
    assert "known are face_net" in capsys.readouterr().err

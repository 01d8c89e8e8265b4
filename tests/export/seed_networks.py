"""Three networks of published systems in the form of a declaration, as small as their form allows.

They hold the form, not the accuracy: stacked windows through a recurrent network, a sequence of
pictures with a mask, and a support vector machine behind its scaling and principal components.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor as Torch
from torch import nn

from emoserve_export import Checkpoint, Labels, Network, Preprocessing, Serving, Tensor, axes

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


class WindowsThroughLstm(nn.Module):
    """Five log-mel windows, each through the same convolutions, then an LSTM (maelfabien)."""

    def __init__(self) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        before = 1
        for width, pool in ((8, 2), (8, 4), (16, 4), (16, 4)):
            steps += [
                nn.Conv2d(before, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ELU(),
                nn.MaxPool2d(pool),
            ]
            before = width
        self.local = nn.Sequential(*steps)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 7)

    def forward(self, windows: Torch) -> Torch:
        batch, stacked = windows.shape[:2]
        # [batch, windows, mels, frames, 1] -> [batch * windows, 1, mels, frames]
        flat = windows.flatten(0, 1).permute(0, 3, 1, 2)
        local = self.local(flat).reshape(batch, stacked, 16)
        return torch.softmax(self.head(self.lstm(local)[0][:, -1]), dim=1)


class FramesWithMask(nn.Module):
    """Frames through convolutions and a transformer that ignores padding (UPC)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 7, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
        )
        self.project = nn.Linear(128, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.head = nn.Linear(width, 8)

    def forward(self, frames: Torch, padding: Torch) -> Torch:
        batch, time = frames.shape[:2]
        x = self.project(self.body(frames.flatten(0, 1)).reshape(batch, time, 128))
        scores = self.query(x) @ self.key(x).transpose(1, 2)  # [batch, time, time]
        share = torch.softmax(scores.masked_fill(padding[:, None], -1e4), dim=2)
        there = (~padding).float()[..., None]
        pooled = (share @ x * there).sum(dim=1) / there.sum(dim=1).clamp_min(1)
        return torch.log_softmax(self.head(pooled), dim=1)


class SupportVectors(nn.Module):
    """Scaling, principal components, an RBF machine of one class against one (maelfabien)."""

    def __init__(
        self, features: int = 20, kept: int = 6, classes: int = 14, vectors: int = 40
    ) -> None:
        super().__init__()
        pairs = classes * (classes - 1) // 2
        shapes = {
            "mean": (features,),
            "scale": (features,),
            "components": (kept, features),
            "support": (vectors, kept),
            "coefficients": (pairs, vectors),
            "intercept": (pairs,),
            "gamma": (1,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.ones(shape))
        self.classes = classes
        first, second = torch.triu_indices(classes, classes, 1)
        # [pairs, classes]: the vote of each pair's decision
        self.register_buffer("votes_for", nn.functional.one_hot(first, classes).float())
        self.register_buffer("votes_against", nn.functional.one_hot(second, classes).float())

    def forward(self, features: Torch) -> tuple[Torch, Torch]:
        reduced = ((features - self.mean) / self.scale) @ self.components.T
        distance = (reduced[:, None] - self.support[None]).square().sum(dim=2)
        kernel = torch.exp(-self.gamma * distance)  # [batch, vectors]
        decision = kernel @ self.coefficients.T + self.intercept
        won = (decision > 0).float()
        votes = won @ self.votes_for + (1 - won) @ self.votes_against
        both = torch.softmax(votes, dim=1)  # [batch, gender * emotion]
        return both, both.reshape(-1, 2, self.classes // 2).sum(dim=1)


def frame_samples(items: int, seed: int) -> dict[str, np.ndarray]:
    """Return clips of different lengths, padded at the end."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 7, items)
    padding = np.arange(lengths.max()) >= lengths[:, None]
    shape = (items, int(lengths.max()), 3, 112, 112)
    return {"frames": rng.uniform(0, 255, shape).astype(np.float32), "padding": padding}


def saved(module: nn.Module, folder: Path, name: str) -> tuple[Checkpoint, ...]:
    """Return a checkpoint of a module with seeded weights."""
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, str(path))
    return (Checkpoint(path),)


def probabilities(name: str, classes: int) -> Tensor:
    return Tensor(name, "float32", axes("batch", classes=classes))


def declared(folder: Path) -> tuple[Network, ...]:
    """Return the three declarations with weights in a folder."""
    torch.manual_seed(0)
    machine = SupportVectors()
    for name in ("mean", "components", "support", "coefficients", "intercept"):
        getattr(machine, name).normal_()
    windows = axes("batch", windows=5, mels=128, frames=128, channel=1)
    clip = axes("batch", frames=(1, 500), channel=3, height=112, width=112)
    return (
        Network(
            name="windows_lstm",
            build=WindowsThroughLstm,
            checkpoint=saved(WindowsThroughLstm(), folder, "windows_lstm"),
            inputs=(Tensor("windows", "float32", windows, "log-mel, dB", (-80, 0)),),
            outputs=(probabilities("emotion", 7),),
            labels={"emotion": Labels(SEVEN)},
            preprocessing=Preprocessing("mel_windows_5x128_v1"),
            kind="recurrent",
        ),
        Network(
            name="masked_frames",
            build=FramesWithMask,
            checkpoint=saved(FramesWithMask(), folder, "masked_frames"),
            inputs=(
                Tensor("frames", "float32", clip, "RGB, 0 to 255", (0, 255)),
                Tensor("padding", "bool", axes("batch", frames=(1, 500)), "true where padded"),
            ),
            outputs=(
                Tensor("log_emotion", "float32", axes("batch", classes=8), "log probability"),
            ),
            labels={"log_emotion": Labels(RAVDESS)},
            samples=frame_samples,
            serving=Serving(max_batch_size=4),
            kind="transformer",
        ),
        Network(
            name="support_vectors",
            build=SupportVectors,
            checkpoint=saved(machine, folder, "support_vectors"),
            inputs=(Tensor("features", "float32", axes("batch", statistics=20), "", (-2, 2)),),
            outputs=(probabilities("gender_emotion", 14), probabilities("emotion", 7)),
            labels={
                "gender_emotion": Labels(tuple(f"{g}_{e}" for g in "fm" for e in SEVEN), None),
                "emotion": Labels(SEVEN),
            },
            kind="dense",
        ),
    )

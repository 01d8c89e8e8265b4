"""Training of the face network on FER2013."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from emoserve_export.networks.face import LABELS, FaceNet
from emoserve_training.data.faces import Faces
from emoserve_training.face_augment import augment_faces
from emoserve_training.figures import rarity
from emoserve_training.loop import Settings

SETTINGS = Settings(
    epochs=34, batch=128, peak_rate=0.1, weight_decay=5e-4, optimizer="sgd", ema_decay=0.998
)
_SMOOTHING = 0.1
_RARITY_POWER = 0.35
_MIXED_SHARE = 0.1


class FaceTask:
    """`FaceNet` on FER2013; the score is accuracy on the validation split."""

    def __init__(self, splits: Mapping[str, Faces], settings: Settings = SETTINGS) -> None:
        torch.manual_seed(settings.seed)
        self.network = FaceNet()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._splits = splits
        self._settings = settings
        self._images = torch.from_numpy(splits["train"].images)
        self._labels = torch.from_numpy(splits["train"].labels)
        # Disgust is one picture in seventy: unweighted, the network never answers it.
        self._weight = rarity(splits["train"].labels.tolist(), len(LABELS), _RARITY_POWER)
        self._batch = min(settings.batch, len(self._labels))
        self.steps_per_epoch = len(self._labels) // self._batch

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields faces float32 [batch, 1, 48, 48] and class shares float32 [batch, 7]."""
        order = torch.randperm(len(self._labels), generator=generator)
        for step in range(self.steps_per_epoch):
            rows = order[step * self._batch : (step + 1) * self._batch]
            faces = self._images[rows].unsqueeze(1).float() / 255
            faces = augment_faces(faces, generator)
            target = functional.one_hot(self._labels[rows], len(LABELS)).float()
            yield _mixed(faces, target, generator)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Returns cross entropy with label smoothing: FER2013's labels are noisy."""
        faces, target = batch
        logits, _ = self.network.scores(faces.contiguous(memory_format=torch.channels_last))
        return functional.cross_entropy(logits, target, self._weight, label_smoothing=_SMOOTHING)

    def score(self, network: nn.Module) -> Mapping[str, float]:
        """Returns accuracy on the validation split."""
        faces = self._splits["val"]
        found = predict(network, faces).argmax(dim=1)
        return {"score": float((found == torch.from_numpy(faces.labels)).float().mean())}


@torch.no_grad()
def predict(network: nn.Module, faces: Faces, batch: int = 256) -> Tensor:
    """Returns probabilities float32 [faces, 7]."""
    images = torch.from_numpy(faces.images).unsqueeze(1)
    parts = [network(part.float() / 255).emotion for part in torch.split(images, batch)]
    return torch.cat(parts)


def _mixed(faces: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A tenth of the batches is mixed with itself (Zhang et al. 2017, arXiv:1710.09412)."""
    if float(torch.rand(1, generator=generator)) > _MIXED_SHARE:
        return faces, target
    share = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
    other = torch.randperm(len(faces), generator=generator)
    return (
        faces * share + faces[other] * (1 - share),
        target * share + target[other] * (1 - share),
    )

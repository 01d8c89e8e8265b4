"""Training of the fusion network on embeddings of the three trained networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from emoserve_ensemble.labels import EMOTIONS, MODALITIES
from emoserve_export.networks.fusion import FusionNet, FusionOutput
from emoserve_training.figures import accuracy
from emoserve_training.loop import Settings
from emoserve_training.pairs import Examples, Moments, Pairing, disagreeing

SETTINGS = Settings(
    epochs=40, batch=512, peak_rate=2e-3, weight_decay=0.01, ema_decay=0.995, patience=15, threads=1
)
_STEPS = 60
_VALIDATION_MOMENTS = 4_000
_SENTIMENT_SHARE = 0.5
SUBSETS: Mapping[str, tuple[int, int, int]] = {
    "face": (1, 0, 0),
    "speech": (0, 1, 0),
    "text": (0, 0, 1),
    "face + speech": (1, 1, 0),
    "face + text": (1, 0, 1),
    "speech + text": (0, 1, 1),
    "face + speech + text": (1, 1, 1),
}


class FusionTask:
    """`FusionNet` on label-paired moments; the score is mean accuracy over the seven subsets.

    Args:
        splits: `train` and `val`, each by modality.
        odds: float32 [3], how often a modality's embedding is exchanged in training; see
            `exchange_odds`.
        settings: see `Settings`.
    """

    def __init__(
        self,
        splits: Mapping[str, Mapping[str, Examples]],
        odds: Tensor,
        settings: Settings = SETTINGS,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.network = FusionNet()
        self.steps_per_epoch = _STEPS
        self._batch, self._odds = settings.batch, odds
        shares = mixed_shares(splits["train"])
        self._pairing = Pairing(splits["train"], shares)
        set_scale(self.network, splits["train"])
        self.validation = validation_moments(splits["val"], shares, settings.seed)

    def batches(self, generator: torch.Generator) -> Iterator[Moments]:
        """Yields moments of any subset of modalities, some of which disagree."""
        for _ in range(self.steps_per_epoch):
            moments = self._pairing.draw(self._batch, generator)
            yield disagreeing(moments, self._odds, generator)

    def loss(self, batch: Moments) -> Tensor:
        """Returns cross entropy of emotion, and half of sentiment's."""
        emotion, sentiment, _ = self.network.scores(batch.embeddings, batch.presence)
        return functional.cross_entropy(
            emotion, batch.emotions, label_smoothing=0.05
        ) + _SENTIMENT_SHARE * functional.cross_entropy(
            sentiment, batch.sentiments, label_smoothing=0.05
        )

    def score(self, network: nn.Module) -> Mapping[str, float]:
        """Returns emotion accuracy with all three modalities, and the mean over subsets."""
        found = {
            name: accuracy(moments.emotions, answer(network, moments).emotion)
            for name, moments in self.validation.items()
        }
        return {"score": sum(found.values()) / len(found), "all": found["face + speech + text"]}


@torch.no_grad()
def answer(network: nn.Module, moments: Moments) -> FusionOutput:
    """Returns the network's answers."""
    found: FusionOutput = network(moments.embeddings, moments.presence)
    return found


def validation_moments(
    examples: Mapping[str, Examples], shares: Tensor, seed: int
) -> dict[str, Moments]:
    """Returns the same moments for each subset of modalities; nothing is exchanged in them."""
    pairing = Pairing(examples, shares)
    return {
        name: pairing.draw(
            _VALIDATION_MOMENTS,
            torch.Generator().manual_seed(seed),
            torch.tensor(subset, dtype=torch.float32),
        )
        for name, subset in SUBSETS.items()
    }


def mixed_shares(examples: Mapping[str, Examples]) -> Tensor:
    """Returns how often each emotion occurs, float32 [7]: the mean of the three data sets."""
    counts = [
        torch.bincount(examples[name].labels, minlength=len(EMOTIONS)).float()
        for name in MODALITIES
    ]
    return torch.stack([count / count.sum() for count in counts]).mean(dim=0)


def exchange_odds(trained: Mapping[str, float], unseen: Mapping[str, float]) -> Tensor:
    """Returns how often to exchange each modality's embedding, float32 [3].

    A network is surer and righter on what it was trained on. Exchanging embeddings brings its
    share of right answers in training down to what it has on unseen data, and a tenth on top
    stands for moments whose modalities truly disagree.
    """
    odds = [1 - unseen[name] / max(trained[name], 1e-6) for name in MODALITIES]
    return torch.tensor(odds).clamp(0, 0.6) + 0.1


def set_scale(network: FusionNet, examples: Mapping[str, Examples]) -> None:
    """Sets the network's centre and spread from the training embeddings."""
    for place, name in enumerate(MODALITIES):
        network.centre[place] = examples[name].embeddings.mean(dim=0)
        spread = examples[name].embeddings.std(dim=0)
        network.spread[place] = spread.clamp_min(float(spread.mean()) * 0.2 + 1e-6)

"""Training of the speech network on RAVDESS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emoserve_ensemble.labels import EMOTIONS, canonical_matrix
from emoserve_ensemble.log_mel import HOP_SAMPLES, log_mel, windows
from emoserve_export.networks.speech import LABELS, SpeechNet
from emoserve_training.data.ravdess import Recording
from emoserve_training.figures import macro_recall
from emoserve_training.loop import Settings
from emoserve_training.speech_augment import augment_speech, speech_span

SETTINGS = Settings(
    epochs=90,
    batch=16,
    peak_rate=1.5e-3,
    weight_decay=0.02,
    ema_decay=0.998,
    patience=30,
    threads=1,
)
_SMOOTHING = 0.05
_MARGIN_FRAMES = 10
TO_CANONICAL = torch.from_numpy(canonical_matrix(LABELS))  # [8, 7]


class SpeechTask:
    """`SpeechNet` on RAVDESS; the score is macro recall over the canonical seven.

    It is the mean over whole recordings (with the second of silence about them) and over
    recordings cut to their speech, as a segmenter would.
    """

    def __init__(
        self, splits: Mapping[str, Sequence[Recording]], settings: Settings = SETTINGS
    ) -> None:
        torch.manual_seed(settings.seed)
        self.network = SpeechNet()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        train = splits["train"]
        self._decibels = [log_mel(recording.samples) for recording in train]
        self._labels = torch.tensor([recording.label for recording in train])
        self._truth = canonical_labels(splits["val"])
        self._whole = WindowedClips(splits["val"])
        self._cut = WindowedClips([cut_to_speech(recording) for recording in splits["val"]])
        self._batch = min(settings.batch, len(train))
        self.steps_per_epoch = len(train) // self._batch

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields `log_mel` float32 [batch, 64, 300] and class shares float32 [batch, 8]."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        order = torch.randperm(len(self._labels), generator=generator)
        for step in range(self.steps_per_epoch):
            rows = order[step * self._batch : (step + 1) * self._batch]
            changed = np.stack([augment_speech(self._decibels[row], rng) for row in rows.tolist()])
            target = functional.one_hot(self._labels[rows], len(LABELS)).float()
            # Three batches of ten are mixed (Zhang et al. 2017, arXiv:1710.09412).
            share = float(rng.beta(0.3, 0.3)) if rng.random() < 0.3 else 1.0
            x, other = torch.from_numpy(changed), torch.from_numpy(rng.permutation(len(rows)))
            yield x * share + x[other] * (1 - share), target * share + target[other] * (1 - share)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Returns cross entropy with label smoothing."""
        logits, _ = self.network.scores(batch[0])
        return functional.cross_entropy(logits, batch[1], label_smoothing=_SMOOTHING)

    def score(self, network: nn.Module) -> Mapping[str, float]:
        """Returns macro recall over whole recordings, over cut ones, and their mean."""
        whole = macro_recall(self._truth, self._whole.predict(network) @ TO_CANONICAL)
        cut = macro_recall(self._truth, self._cut.predict(network) @ TO_CANONICAL)
        return {"score": (whole + cut) / 2, "recall_whole": whole, "recall_cut": cut}


class WindowedClips:
    """Recordings as the network's windows; a recording's answer is the mean of its windows'."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        parts = [windows(recording.samples).log_mel for recording in recordings]
        self._log_mel = torch.from_numpy(np.concatenate(parts))
        self._counts = [len(part) for part in parts]

    def predict(self, network: nn.Module) -> Tensor:
        """Returns probabilities float32 [recordings, 8]."""
        return self._answers(network)[0]

    def embed(self, network: nn.Module) -> Tensor:
        """Returns embeddings float32 [recordings, 128]."""
        return self._answers(network)[1]

    @torch.no_grad()
    def _answers(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        answers = [network(part) for part in torch.split(self._log_mel, 64)]
        return (
            self._means(torch.cat([answer.emotion for answer in answers])),
            self._means(torch.cat([answer.embedding for answer in answers])),
        )

    def _means(self, rows: Tensor) -> Tensor:
        """Returns float32 [recordings, width] from float32 [windows, width]."""
        return torch.stack([part.mean(dim=0) for part in torch.split(rows, self._counts)])


def canonical_labels(recordings: Sequence[Recording]) -> Tensor:
    """Returns int64 [recordings], indices into the canonical emotions; calm is neutral."""
    own = torch.tensor([recording.label for recording in recordings])
    found = TO_CANONICAL[own].argmax(dim=1)
    assert int(found.max()) < len(EMOTIONS)
    return found


def cut_to_speech(recording: Recording) -> Recording:
    """Returns the recording without the silence about its words, but for 0.1 s."""
    first, last = speech_span(log_mel(recording.samples))
    start = max(0, first - _MARGIN_FRAMES) * HOP_SAMPLES
    end = (last + _MARGIN_FRAMES) * HOP_SAMPLES
    return Recording(recording.name, recording.actor, recording.label, recording.samples[start:end])

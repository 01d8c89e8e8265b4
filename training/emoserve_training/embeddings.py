"""The three trained networks' embeddings of their data sets: what fusion learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from emoserve_ensemble.labels import canonical_matrix
from emoserve_ensemble.log_mel import log_mel
from emoserve_ensemble.tokens import Tokenizer
from emoserve_export.checkpoints import Checkpoint
from emoserve_export.networks.face import LABELS as FACE_LABELS
from emoserve_training.data.faces import Faces
from emoserve_training.data.meld import Utterances
from emoserve_training.data.ravdess import Recording
from emoserve_training.figures import macro_recall
from emoserve_training.fusion import exchange_odds
from emoserve_training.pairs import Examples
from emoserve_training.speech import TO_CANONICAL, WindowedClips, canonical_labels, cut_to_speech
from emoserve_training.speech_augment import augment_speech
from emoserve_training.text import predict

_SPEECH_VARIANTS = 3
FACE_TO_CANONICAL = torch.from_numpy(canonical_matrix(FACE_LABELS))  # [7, 7]


@dataclass(frozen=True)
class Embedded:
    """`splits`: examples by split and modality; `answers`: each network's own, float32 [n, 7]."""

    splits: Mapping[str, Mapping[str, Examples]]
    answers: Mapping[str, Mapping[str, Tensor]]

    def odds(self) -> Tensor:
        """Returns how often fusion's training exchanges each modality's embedding, float32 [3]."""
        recalls = {
            split: {
                name: macro_recall(self.splits[split][name].labels, probabilities)
                for name, probabilities in answers.items()
            }
            for split, answers in self.answers.items()
        }
        return exchange_odds(recalls["train"], recalls["val"])


def embedded_splits(
    networks: Mapping[str, Checkpoint],
    faces: Mapping[str, Faces],
    recordings: Mapping[str, Sequence[Recording]],
    utterances: tuple[Mapping[str, Utterances], Tokenizer],
) -> Embedded:
    """Returns the embeddings of the training and validation splits of all three data sets."""
    texts, tokenizer = utterances
    splits: dict[str, dict[str, Examples]] = {}
    answers: dict[str, dict[str, Tensor]] = {}
    for split in ("train", "val"):
        found = {
            "face": embed_faces(networks["face"].network, faces[split]),
            "speech": embed_speech(networks["speech"].network, recordings[split], split == "train"),
            "text": embed_text(networks["text"].network, texts[split], tokenizer),
        }
        splits[split] = {name: examples for name, (examples, _) in found.items()}
        answers[split] = {name: answer for name, (_, answer) in found.items()}
    return Embedded(splits, answers)


@torch.no_grad()
def embed_faces(network: nn.Module, faces: Faces) -> tuple[Examples, Tensor]:
    """Returns the faces' embeddings, and the canonical probabilities."""
    images = torch.from_numpy(faces.images).unsqueeze(1)
    parts = [network(part.float() / 255) for part in torch.split(images, 256)]
    labels = FACE_TO_CANONICAL[torch.from_numpy(faces.labels)].argmax(dim=1)
    embeddings = torch.cat([part.embedding for part in parts])
    return Examples(embeddings, labels), torch.cat([p.emotion for p in parts]) @ FACE_TO_CANONICAL


@torch.no_grad()
def embed_speech(
    network: nn.Module, recordings: Sequence[Recording], augmented: bool
) -> tuple[Examples, Tensor]:
    """Returns the recordings' embeddings, cut to their speech, and the canonical probabilities.

    With `augmented`, three changed copies of each: the network has seen so few recordings so often
    that the plain ones say too little about new voices.
    """
    if not augmented:
        clips = WindowedClips([cut_to_speech(recording) for recording in recordings])
        examples = Examples(clips.embed(network), canonical_labels(recordings))
        return examples, clips.predict(network) @ TO_CANONICAL
    rng = np.random.default_rng(0)
    decibels = [log_mel(recording.samples) for recording in recordings]
    parts = [
        network(
            torch.from_numpy(np.stack([augment_speech(x, rng) for x in decibels[at : at + 64]]))
        )
        for _ in range(_SPEECH_VARIANTS)
        for at in range(0, len(decibels), 64)
    ]
    labels = canonical_labels(recordings).repeat(_SPEECH_VARIANTS)
    embeddings = torch.cat([part.embedding for part in parts])
    return Examples(embeddings, labels), torch.cat([p.emotion for p in parts]) @ TO_CANONICAL


def embed_text(
    network: nn.Module, utterances: Utterances, tokenizer: Tokenizer
) -> tuple[Examples, Tensor]:
    """Returns the utterances' embeddings with both labels, and the probabilities."""
    answer = predict(network, tokenizer, utterances.texts)
    labels = torch.tensor(utterances.emotions)
    examples = Examples(answer.embedding, labels, torch.tensor(utterances.sentiments))
    return examples, answer.emotion

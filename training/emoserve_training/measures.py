"""The measurements behind each card: which split, which figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from emoserve_ensemble.labels import EMOTIONS, SENTIMENTS
from emoserve_ensemble.tokens import Tokenizer
from emoserve_export.networks.face import LABELS as FACE_LABELS
from emoserve_training import face, text
from emoserve_training.cards import Card, Evaluation
from emoserve_training.data.faces import Faces
from emoserve_training.data.meld import Utterances
from emoserve_training.data.ravdess import Recording
from emoserve_training.embeddings import Embedded
from emoserve_training.figures import accuracy, macro_recall, weighted_f1
from emoserve_training.fusion import answer, mixed_shares, validation_moments
from emoserve_training.pairs import Moments
from emoserve_training.speech import TO_CANONICAL, WindowedClips, canonical_labels, cut_to_speech
from emoserve_training.text import as_spoken

Measure = Callable[[nn.Module, Mapping[str, str]], Card]


def of_face(splits: Mapping[str, Faces]) -> Measure:
    """Returns the measurement of the face network: the test split, or validation without one."""

    def measure(network: nn.Module, metadata: Mapping[str, str]) -> Card:
        headline, evaluations = {}, []
        for split in ("val", "test"):
            if split in splits:
                truth = torch.from_numpy(splits[split].labels)
                found = face.predict(network, splits[split])
                headline[f"accuracy, {_named(split)}"] = accuracy(truth, found)
                headline[f"macro recall, {_named(split)}"] = macro_recall(truth, found)
                evaluations = [Evaluation(f"emotion, {_named(split)}", FACE_LABELS, truth, found)]
        return Card("face", metadata, headline, evaluations)

    return measure


def of_speech(splits: Mapping[str, Sequence[Recording]]) -> Measure:
    """Returns the measurement of the speech network: validation actors, whole and cut."""

    def measure(network: nn.Module, metadata: Mapping[str, str]) -> Card:
        truth = canonical_labels(splits["val"])
        whole = WindowedClips(splits["val"]).predict(network) @ TO_CANONICAL
        cut = WindowedClips([cut_to_speech(r) for r in splits["val"]]).predict(network)
        cut = cut @ TO_CANONICAL
        headline = {
            "macro recall of seven, validation, whole recordings": macro_recall(truth, whole),
            "macro recall of seven, validation, cut to speech": macro_recall(truth, cut),
            "accuracy, validation, cut to speech": accuracy(truth, cut),
        }
        evaluations = [
            Evaluation("emotion, validation, whole", EMOTIONS, truth, whole),
            Evaluation("emotion, validation, cut to speech", EMOTIONS, truth, cut),
        ]
        return Card("speech", metadata, headline, evaluations)

    return measure


def of_text(splits: Mapping[str, Utterances], tokenizer: Tokenizer) -> Measure:
    """Returns the measurement of the text network: dev and test, as written and as spoken."""

    def measure(network: nn.Module, metadata: Mapping[str, str]) -> Card:
        headline: dict[str, float] = {}
        evaluations: list[Evaluation] = []
        for split in ("val", "test"):
            if split not in splits:
                continue
            data, where = splits[split], _named(split)
            emotions, sentiments = torch.tensor(data.emotions), torch.tensor(data.sentiments)
            written = text.predict(network, tokenizer, data.texts)
            spoken = text.predict(network, tokenizer, [as_spoken(t) for t in data.texts])
            headline |= {
                f"emotion, weighted F1, {where}": weighted_f1(emotions, written.emotion),
                f"sentiment, weighted F1, {where}": weighted_f1(sentiments, written.sentiment),
                f"emotion, weighted F1, {where}, as a recogniser writes": weighted_f1(
                    emotions, spoken.emotion
                ),
                f"sentiment, weighted F1, {where}, as a recogniser writes": weighted_f1(
                    sentiments, spoken.sentiment
                ),
            }
            evaluations = [
                Evaluation(f"emotion, {where}", EMOTIONS, emotions, written.emotion),
                Evaluation(f"sentiment, {where}", SENTIMENTS, sentiments, written.sentiment),
            ]
        return Card("text", metadata, headline, evaluations)

    return measure


def of_fusion(embedded: Embedded, seed: int) -> Measure:
    """Returns the measurement of fusion: all subsets, beside the networks' own answers."""
    uniform = torch.full((len(EMOTIONS),), 1 / len(EMOTIONS))
    draws = {
        "mixed": mixed_shares(embedded.splits["train"]),
        "uniform": uniform,
    }

    def measure(network: nn.Module, metadata: Mapping[str, str]) -> Card:
        tables = {}
        for title, shares in draws.items():
            moments = validation_moments(embedded.splits["val"], shares, seed)
            tables[f"Label-paired validation, {title} shares of emotions"] = {
                name: _subset_figures(network, found) for name, found in moments.items()
            }
        moments = validation_moments(embedded.splits["val"], draws["mixed"], seed)
        everything = moments["face + speech + text"]
        found = answer(network, everything)
        headline = {
            f"emotion accuracy, {name}": row["emotion accuracy"]
            for name, row in next(iter(tables.values())).items()
        }
        evaluations = [
            Evaluation("emotion, all three", EMOTIONS, everything.emotions, found.emotion),
            Evaluation("sentiment, all three", SENTIMENTS, everything.sentiments, found.sentiment),
        ]
        tables["Each network alone, on its own validation split"] = _alone(embedded)
        return Card("fusion", metadata, headline, evaluations, tables)

    return measure


def _subset_figures(network: nn.Module, moments: Moments) -> dict[str, float]:
    found = answer(network, moments)
    weight: Tensor = found.weight.mean(dim=0)
    return {
        "emotion accuracy": accuracy(moments.emotions, found.emotion),
        "emotion macro recall": macro_recall(moments.emotions, found.emotion),
        "sentiment accuracy": accuracy(moments.sentiments, found.sentiment),
        "weight of face": float(weight[0]),
        "weight of speech": float(weight[1]),
        "weight of text": float(weight[2]),
    }


def _alone(embedded: Embedded) -> dict[str, dict[str, float]]:
    return {
        name: {
            "emotion accuracy": accuracy(embedded.splits["val"][name].labels, probabilities),
            "emotion macro recall": macro_recall(
                embedded.splits["val"][name].labels, probabilities
            ),
        }
        for name, probabilities in embedded.answers["val"].items()
    }


def _named(split: str) -> str:
    return "validation" if split == "val" else split

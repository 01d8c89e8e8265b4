"""MELD's text: `train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv` of its repository.

Poria et al. 2019, arXiv:1810.02508. The splits are the official ones.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from emoserve_export.networks.text import EMOTION_LABELS, SENTIMENT_LABELS
from emoserve_training.loop import TrainingError

_FILES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
_COLUMNS = ("Utterance", "Emotion", "Sentiment")


@dataclass(frozen=True)
class Utterances:
    """Texts with indices into the emotion and sentiment labels; equal lengths."""

    texts: tuple[str, ...]
    emotions: tuple[int, ...]
    sentiments: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)


def read_meld(folder: Path) -> dict[str, Utterances]:
    """Returns the splits `train`, `val` (MELD's dev) and, where it is there, `test`.

    Raises:
        TrainingError: a file, a column or a label is not MELD's.
    """
    splits = {}
    for split, name in _FILES.items():
        if (folder / name).exists():
            splits[split] = _read(folder / name)
        elif split != "test":
            raise TrainingError(f"{folder} has no {name}; MELD's three csv files are accepted")
    return splits


def _read(path: Path) -> Utterances:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise TrainingError(f"{path} has no column {', '.join(missing)}")
        rows = list(reader)
    return Utterances(
        tuple(row["Utterance"] for row in rows),
        tuple(_code(row["Emotion"], EMOTION_LABELS, path) for row in rows),
        tuple(_code(row["Sentiment"], SENTIMENT_LABELS, path) for row in rows),
    )


def _code(label: str, labels: tuple[str, ...], path: Path) -> int:
    if label.lower() not in labels:
        raise TrainingError(f"{path}: unknown label {label!r}; accepted are: {', '.join(labels)}")
    return labels.index(label.lower())

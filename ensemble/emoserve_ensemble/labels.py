"""The canonical vocabulary, and how a network's own labels map to it.

Every network keeps its own label file in its own order; nothing assumes that two share an index.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from emoserve_ensemble.arrays import Floats

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("negative", "neutral", "positive")
MODALITIES = ("face", "speech", "text")

# Names met in FER2013, RAVDESS, MELD and the five published systems. RAVDESS's «calm» counts as
# neutral: its speakers are told to be at rest, and raters confuse the two.
CANONICAL = {name: name for name in EMOTIONS} | {
    "angry": "anger",
    "calm": "neutral",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "joy",
    "happiness": "joy",
    "sad": "sadness",
    "surprised": "surprise",
}


def to_canonical(values: Floats, labels: Sequence[str], wanted: Sequence[str] = EMOTIONS) -> Floats:
    """Return float32 [batch, wanted] from float32 [batch, labels].

    Probabilities of labels that share a canonical name add up.

    Raises:
        ValueError: a label has no meaning among the wanted ones; names it.
    """
    return np.asarray(values @ canonical_matrix(tuple(labels), tuple(wanted)), np.float32)


@lru_cache
def canonical_matrix(labels: tuple[str, ...], wanted: tuple[str, ...] = EMOTIONS) -> Floats:
    """Return float32 [labels, wanted]: 1 where an own label means a canonical one."""
    meanings = [CANONICAL.get(label.lower(), label.lower()) for label in labels]
    unknown = [
        label for label, meaning in zip(labels, meanings, strict=True) if meaning not in wanted
    ]
    if unknown:
        raise ValueError(f"labels {unknown} mean none of {list(wanted)}")
    matrix = np.zeros((len(labels), len(wanted)), np.float32)
    for row, meaning in enumerate(meanings):
        matrix[row, wanted.index(meaning)] = 1.0
    return matrix


def labels_of(model: Path) -> dict[str, list[str]]:
    """Return the labels of a model's outputs, from the files in its folder of the repository."""
    files = model.glob("*.labels.txt")
    return {path.name.removesuffix(".labels.txt"): read_labels(path) for path in files}


def read_labels(path: Path) -> list[str]:
    """Return the labels of a Triton label file, one a line, in the network's own order."""
    labels = path.read_text(encoding="utf-8").split("\n")
    return [label.strip() for label in labels if label.strip()]

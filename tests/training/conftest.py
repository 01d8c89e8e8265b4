"""Small data sets in the real layouts, in which classes can be told apart."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from emoserve_export.networks.face import LABELS as FACE_LABELS

RATE_HZ = 16_000
WORDS = {
    "anger": "i hate this",
    "disgust": "that is gross",
    "fear": "i am so scared",
    "joy": "this is great",
    "neutral": "it is there",
    "sadness": "i miss him",
    "surprise": "oh my god",
}
SENTIMENT = {"joy": "positive", "neutral": "neutral", "surprise": "positive"}


def draw_face(label: int, seed: int) -> np.ndarray:
    """Returns uint8 [48, 48]: noise, and a bright square at a place that tells the label."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(60, 120, (48, 48))
    top, left = 2 + 15 * (label // 3), 2 + 15 * (label % 3)
    picture[top : top + 13, left : left + 13] += 110
    return picture.astype(np.uint8)


def write_face_folders(
    folder: Path, count: int, splits: tuple[str, ...] = ("train", "test")
) -> Path:
    """Writes `<split>/<class>/<n>.png`, `count` of each class."""
    for number, split in enumerate(splits):
        for label, name in enumerate(FACE_LABELS):
            (folder / split / name).mkdir(parents=True)
            for row in range(count):
                picture = draw_face(label, seed=1000 * number + 100 * label + row)
                Image.fromarray(picture).save(folder / split / name / f"{row}.png")
    return folder


def write_face_csv(folder: Path, count: int) -> Path:
    """Writes Kaggle's `fer2013.csv` with `count` of each class and usage."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for number, usage in enumerate(("Training", "PublicTest", "PrivateTest")):
            for label in range(7):
                for row in range(count):
                    pixels = draw_face(label, seed=1000 * number + 100 * label + row)
                    writer.writerow([label, " ".join(map(str, pixels.ravel())), usage])
    return folder


def write_ravdess(
    folder: Path, actors: tuple[int, ...] = (1, 2, 19), rate_hz: int = RATE_HZ
) -> Path:
    """Writes one short recording per emotion and actor: a tone of its own height, in silence."""
    for actor in actors:
        place = folder / f"Actor_{actor:02d}"
        place.mkdir(parents=True)
        for emotion in range(1, 9):
            time = np.arange(rate_hz) / rate_hz
            tone = 0.3 * np.sin(2 * np.pi * 180 * 1.4**emotion * time)
            silence = np.zeros(rate_hz // 4)
            sound = np.concatenate([silence, tone, silence])
            soundfile.write(place / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav", sound, rate_hz)
    return folder


def write_meld(folder: Path, count: int = 4) -> Path:
    """Writes MELD's three csv files, `count` utterances of each emotion."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        with (folder / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment"])
            for emotion, words in WORDS.items():
                for row in range(count):
                    text = f"{words}, number {row}!"
                    writer.writerow(
                        [row, text, "Joey", emotion, SENTIMENT.get(emotion, "negative")]
                    )
    return folder


@pytest.fixture
def face_folders() -> Callable[..., Path]:
    """Writes class folders of faces."""
    return write_face_folders


@pytest.fixture
def face_csv() -> Callable[..., Path]:
    """Writes a fer2013.csv."""
    return write_face_csv


@pytest.fixture
def face_of() -> Callable[[int, int], np.ndarray]:
    """Draws one face."""
    return draw_face


@pytest.fixture
def ravdess() -> Callable[..., Path]:
    """Writes recordings with RAVDESS's names."""
    return write_ravdess


@pytest.fixture
def meld() -> Callable[..., Path]:
    """Writes MELD's csv files."""
    return write_meld

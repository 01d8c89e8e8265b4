"""One run from data to published checkpoint: read, train, measure, save, write the card."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from emoserve_ensemble import face_pixels, log_mel
from emoserve_ensemble import tokens as token_steps
from emoserve_ensemble.tokens import Tokenizer
from emoserve_export import checkpoints
from emoserve_export.networks import FaceNet, FusionNet, SpeechNet, TextNet
from emoserve_export.networks.fusion import MODALITIES
from emoserve_export.wheels import read_member
from emoserve_training import face, fusion, measures, speech, text
from emoserve_training.cards import Card, write_card
from emoserve_training.data.faces import read_faces
from emoserve_training.data.meld import read_meld
from emoserve_training.data.ravdess import read_ravdess
from emoserve_training.embeddings import embedded_splits
from emoserve_training.loop import Settings, Task, TrainingError, train

VERSION = "1"
SETTINGS: Mapping[str, Settings] = {
    "face": face.SETTINGS,
    "speech": speech.SETTINGS,
    "text": text.SETTINGS,
    "fusion": fusion.SETTINGS,
}
PREPROCESSING: Mapping[str, str] = {
    "face": face_pixels.VERSION,
    "speech": log_mel.VERSION,
    "text": token_steps.VERSION,
    "fusion": "none",
}
LABELS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "face": {"emotion": FaceNet.labels},
    "speech": {"emotion": SpeechNet.labels},
    "text": {"emotion": TextNet.labels, "sentiment": TextNet.sentiment_labels},
    "fusion": {
        "emotion": FusionNet.labels,
        "sentiment": FusionNet.sentiment_labels,
        "weight": MODALITIES,
    },
}


@dataclass(frozen=True)
class Folders:
    """Where the data sets lie, and (for fusion and cards) the checkpoints."""

    faces: Path | None = None
    ravdess: Path | None = None
    meld: Path | None = None
    checkpoints: Path | None = None

    def need(self, name: str) -> Path:
        """Returns one of them.

        Raises:
            TrainingError: it was not given, or is no folder.
        """
        path: Path | None = getattr(self, name)
        if path is None or not path.is_dir():
            raise TrainingError(f"the folder of {name} is needed; given: {path or 'nothing'}")
        return path


@dataclass(frozen=True)
class Place:
    """Where a run writes, and what it was called with."""

    out: Path
    publish: Path | None
    resume: bool
    command: str
    note: str = ""


def run(name: str, folders: Folders, settings: Settings, place: Place) -> None:
    """Trains a network, measures it and writes checkpoint and card into `place`.

    Raises:
        TrainingError: the data or the run folder cannot be used.
    """
    prepared = _PREPARE[name](folders, settings)
    task, measure = prepared.task, prepared.measure
    done = train(task, settings, place.out, place.resume)
    metadata = {
        "network": name,
        "version": VERSION,
        "labels": json.dumps({k: list(v) for k, v in LABELS[name].items()}),
        "preprocessing": PREPROCESSING[name],
        "seed": str(settings.seed),
        "best_epoch": f"{done.best_epoch + 1} of {settings.epochs}",
        "command": place.command,
        "examples": prepared.examples,
        "note": place.note,
    }
    if name == "fusion":
        metadata["embeddings_of"] = json.dumps(fingerprints(folders.need("checkpoints")))
    network = task.network.eval()
    checkpoints.save(network, place.out / f"{name}.safetensors", metadata)
    _write(measure(network, metadata), place.out)
    if place.publish:
        place.publish.mkdir(parents=True, exist_ok=True)
        for file in (f"{name}.safetensors", f"{name}.md", f"{name}_confusion.png"):
            shutil.copyfile(place.out / file, place.publish / file)


def card(name: str, folders: Folders, folder: Path | None) -> None:
    """Measures a checkpoint again and writes its card beside it.

    Raises:
        TrainingError: the data cannot be used.
        CheckpointError: the checkpoint cannot be used.
    """
    torch.set_num_threads(SETTINGS[name].threads)
    place = folder or checkpoints.FOLDER
    checkpoint = checkpoints.load(name, place / f"{name}.safetensors")
    _write(measured(name, folders, checkpoint), place)


def measured(name: str, folders: Folders, checkpoint: checkpoints.Checkpoint) -> Card:
    """Returns the card of a checkpoint, measured on the data now."""
    return _MEASURE[name](folders, SETTINGS[name])(checkpoint.network, checkpoint.metadata)


Measure = Callable[[nn.Module, Mapping[str, str]], Card]


@dataclass(frozen=True)
class Prepared:
    """What a run needs; `examples` tells how many there are of each split."""

    task: Task
    measure: Measure
    examples: str


def _counts(splits: Mapping[str, Sized]) -> str:
    return ", ".join(f"{split} {len(examples)}" for split, examples in splits.items())


def _write(found: Card, folder: Path) -> None:
    write_card(found, folder)
    for figure, value in found.headline.items():
        print(f"{found.name}: {figure} {value:.4f}")


def fingerprints(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of the three checkpoints: fusion fits their embeddings and no others."""
    return {
        name: hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
        for name in MODALITIES
    }


def tokenizer() -> Tokenizer:
    """Returns MiniLM's tokenizer."""
    return Tokenizer(read_member(checkpoints.ENCODER_WHEEL, "tokenizer.json"))


def sources(folder: Path) -> dict[str, checkpoints.Checkpoint]:
    """Returns the three trained networks whose embeddings fusion learns from."""
    return {name: checkpoints.load(name, folder / f"{name}.safetensors") for name in MODALITIES}


def _prepare_face(folders: Folders, settings: Settings) -> Prepared:
    splits = read_faces(folders.need("faces"))
    return Prepared(face.FaceTask(splits, settings), measures.of_face(splits), _counts(splits))


def _prepare_speech(folders: Folders, settings: Settings) -> Prepared:
    splits = read_ravdess(folders.need("ravdess"))
    task = speech.SpeechTask(splits, settings)
    return Prepared(task, measures.of_speech(splits), _counts(splits))


def _prepare_text(folders: Folders, settings: Settings) -> Prepared:
    splits = read_meld(folders.need("meld"))
    words = tokenizer()
    task = text.TextTask(splits, words, checkpoints.encoder_weights(), settings)
    return Prepared(task, measures.of_text(splits, words), _counts(splits))


def _prepare_fusion(folders: Folders, settings: Settings) -> Prepared:
    embedded = embedded_splits(
        sources(folders.need("checkpoints")),
        read_faces(folders.need("faces")),
        read_ravdess(folders.need("ravdess")),
        (read_meld(folders.need("meld")), tokenizer()),
    )
    task = fusion.FusionTask(embedded.splits, embedded.odds(), settings)
    counts = "; ".join(
        f"{split}: " + ", ".join(f"{name} {len(each.labels)}" for name, each in examples.items())
        for split, examples in embedded.splits.items()
    )
    return Prepared(task, measures.of_fusion(embedded, settings.seed), counts)


_PREPARE: Mapping[str, Callable[[Folders, Settings], Prepared]] = {
    "face": _prepare_face,
    "speech": _prepare_speech,
    "text": _prepare_text,
    "fusion": _prepare_fusion,
}
_MEASURE: Mapping[str, Callable[[Folders, Settings], Measure]] = {
    "face": lambda f, s: measures.of_face(read_faces(f.need("faces"))),
    "speech": lambda f, s: measures.of_speech(read_ravdess(f.need("ravdess"))),
    "text": lambda f, s: measures.of_text(read_meld(f.need("meld")), tokenizer()),
    "fusion": lambda f, s: _prepare_fusion(f, s).measure,
}

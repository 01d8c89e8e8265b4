"""RAVDESS speech: a folder of recordings by name, `[Actor_NN/]03-01-EE-II-SS-RR-AA.(wav|flac)`.

The name says it all (Livingstone and Russo 2018, doi:10.1371/journal.pone.0196391): EE is the
emotion, AA the actor. Splits are by actor, so that no voice is in two: 1 to 18 train, 19 to 21
validation, 22 to 24 test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from emoserve_ensemble.log_mel import RATE_HZ
from emoserve_training.loop import TrainingError

_NAME = re.compile(r"^(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$")
_SOUNDS = {".wav", ".flac"}
_AUDIO_ONLY, _SPEECH = 3, 1
TRAIN_ACTORS = range(1, 19)
VALIDATION_ACTORS = range(19, 22)


@dataclass(frozen=True)
class Recording:
    """`samples` float32 [samples], mono in [-1, 1], 16 000 Hz; `label` is EE - 1."""

    name: str
    actor: int
    label: int
    samples: NDArray[np.float32]


def read_ravdess(folder: Path) -> dict[str, list[Recording]]:
    """Returns the splits `train`, `val` and, where actors 22 to 24 are there, `test`.

    Song files (channel 02) are left out. Sound of another rate is resampled.

    Raises:
        TrainingError: no RAVDESS names below the folder, or an actor's split is empty.
    """
    splits: dict[str, list[Recording]] = {"train": [], "val": [], "test": []}
    for path in sorted(folder.rglob("*")):
        fields = _NAME.match(path.stem) if path.suffix.lower() in _SOUNDS else None
        if fields is None:
            continue
        modality, channel, emotion, *_, actor = (int(field) for field in fields.groups())
        if (modality, channel) == (_AUDIO_ONLY, _SPEECH):
            recording = Recording(path.stem, actor, emotion - 1, read_sound(path))
            splits[_split_of(actor)].append(recording)
    empty = [split for split in ("train", "val") if not splits[split]]
    if empty:
        raise TrainingError(
            f"{folder} has no recordings for {' and '.join(empty)}; accepted are files such as "
            "Actor_01/03-01-05-02-01-01-01.wav of actors 1 to 18 (train) and 19 to 21 (val)"
        )
    return {split: found for split, found in splits.items() if found}


def read_sound(path: Path) -> NDArray[np.float32]:
    """Returns float32 [samples], mono in [-1, 1], 16 000 Hz."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate_hz != RATE_HZ:
        import librosa  # slow to import, and not needed for files that are at 16 kHz

        mono = librosa.resample(mono, orig_sr=rate_hz, target_sr=RATE_HZ)
    return np.asarray(mono, np.float32)


def _split_of(actor: int) -> str:
    if actor in TRAIN_ACTORS:
        return "train"
    return "val" if actor in VALIDATION_ACTORS else "test"

"""FER2013 in the three layouts in which it goes round.

1. One CSV with the columns `emotion,pixels,Usage` (Kaggle's `fer2013.csv`): Training, PublicTest
   (validation) and PrivateTest (test).
2. Folders of pictures: `<split>/<class>/*.jpg`, split one of train, val, validation, test.
3. Tiled sheets: `<name>.jpg` of 48x48 tiles row by row beside `<name>.csv` with a column `label`;
   the split is the last of train, val, test in the name (`fer2013_train_extra` is train).

Where no validation split exists, 7 % of the training pictures are set aside, by a fixed seed.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoserve_export.networks.face import LABELS, SIDE
from emoserve_training.loop import TrainingError

_USAGE = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_FOLDERS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_HELD_BACK = 0.07
_PICTURES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Faces:
    """`images` uint8 [faces, 48, 48], grey; `labels` int64 [faces], FER2013 codes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def read_faces(folder: Path) -> dict[str, Faces]:
    """Returns the splits found in a folder: `train` and `val`, and `test` where there is one.

    Raises:
        TrainingError: none of the three layouts is there, or there is no training split.
    """
    parts: dict[str, list[Faces]] = defaultdict(list)
    for split, faces in _find(folder):
        parts[split].append(faces)
    if "train" not in parts:
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else ""
        raise TrainingError(
            f"{folder} holds no training faces (found: {found or 'no such folder'}); accepted are "
            "fer2013.csv, <split>/<class>/*.jpg, or tiled sheets such as fer2013_train.csv + .jpg"
        )
    splits = {split: _joined(found) for split, found in parts.items()}
    if "val" not in splits:
        splits["train"], splits["val"] = _hold_back(splits["train"])
    return splits


def _find(folder: Path) -> Iterator[tuple[str, Faces]]:
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8") as file:
            header = file.readline().strip().replace(" ", "").split(",")
        if {"emotion", "pixels"} <= set(header):
            yield from _pixels_csv(path)
        elif "label" in header and path.with_suffix(".jpg").exists():
            split = _split_of(path.stem)
            if split:
                yield split, _sheet(path)
    for name, split in _FOLDERS.items():
        if (folder / name).is_dir():
            yield split, _class_folders(folder / name)


def _split_of(stem: str) -> str | None:
    found = [word for word in stem.split("_") if word in _FOLDERS]
    return _FOLDERS[found[-1]] if found else None


def _pixels_csv(path: Path) -> Iterator[tuple[str, Faces]]:
    images: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    labels: dict[str, list[int]] = defaultdict(list)
    with path.open(newline="") as file:
        for line, row in enumerate(csv.DictReader(file, skipinitialspace=True), start=2):
            split = _USAGE[row.get("Usage") or "Training"]
            pixels = np.array(row["pixels"].split(), dtype=np.uint8)
            if pixels.size != SIDE * SIDE:
                raise TrainingError(f"{path}:{line}: {pixels.size} pixels, expected {SIDE * SIDE}")
            images[split].append(pixels.reshape(SIDE, SIDE))
            labels[split].append(int(row["emotion"]))
    for split in images:
        yield split, Faces(np.stack(images[split]), np.array(labels[split], dtype=np.int64))


def _sheet(path: Path) -> Faces:
    with path.open(newline="") as file:
        labels = np.array([int(row["label"]) for row in csv.DictReader(file)], dtype=np.int64)
    with Image.open(path.with_suffix(".jpg")) as picture:
        sheet = np.asarray(picture.convert("L"))
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    tiles = sheet.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)  # [rows, columns, 48, 48]
    return Faces(tiles.reshape(-1, SIDE, SIDE)[: len(labels)].copy(), labels)


def _class_folders(folder: Path) -> Faces:
    images, labels = [], []
    for code, name in enumerate(LABELS):
        for path in sorted((folder / name).glob("*")):
            if path.suffix.lower() in _PICTURES:
                images.append(_picture(path))
                labels.append(code)
    if not images:
        raise TrainingError(f"{folder} has no pictures; class folders are: {', '.join(LABELS)}")
    return Faces(np.stack(images), np.array(labels, dtype=np.int64))


def _picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.uint8)


def _joined(parts: list[Faces]) -> Faces:
    return Faces(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _hold_back(faces: Faces) -> tuple[Faces, Faces]:
    order = np.random.default_rng(0).permutation(len(faces))
    kept = len(faces) - max(1, int(len(faces) * _HELD_BACK))
    return (
        Faces(faces.images[order[:kept]], faces.labels[order[:kept]]),
        Faces(faces.images[order[kept:]], faces.labels[order[kept:]]),
    )

"""The payloads: read, cut or drawn once in a process, with the label where the data have one.

Three sources, the first that is there: a folder of the user's own (`--media`), the project's real
data beside the checkout, and the drawn face, voice and clip of the golden requests.
"""

from __future__ import annotations

import base64
import csv
import functools
import io
import itertools
import json
import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emoserve_loadtests import mix

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PREFIX_BYTES = 4  # little-endian length before each byte string
_FACES, _SOUNDS, _SENTENCES, _MOMENTS = 60, 60, 200, 120
_FACE_SIDE, _TILE = 64, 48  # pixels
_JPEG_QUALITY = 92
_CANONICAL = {
    "angry": "anger", "fearful": "fear", "happy": "joy", "calm": "neutral", "sad": "sadness",
    "surprised": "surprise",
}  # fmt: skip
_NOTHING = "none"  # no face, no voice: then this is the right answer
_HOLD_NOTHING = {"fer_no_faces.jpg", "pyfeat_mountain_noface.jpg", "digital_silence_f32.wav"}
_REFUSED = {"pyfeat_no_face.mp4"}  # a clip with neither face nor voice is an error, by contract
_SUFFIXES = {
    "face": {".jpg", ".jpeg", ".png", ".webp"},
    "speech": {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"},
    "video": {".mp4", ".mov", ".mkv", ".webm", ".mpg", ".avi"},
}


@dataclass(frozen=True)
class Item:
    """One request: the client's arguments, and what is known about it.

    `modality` says what it brings (`face`, `speech+text`, ...), `label` is the data's own word for
    the emotion, in canonical names, or "" where it has none.
    """

    pipeline: str
    size: str
    modality: str
    inputs: Mapping[str, Any]
    label: str = ""

    @functools.cached_property
    def size_bytes(self) -> int:
        """What goes over the wire, without the protocol's own bytes."""
        return sum(_length(one) for one in self.inputs.values())


def _length(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_length(one) for one in value.values())
    if isinstance(value, np.ndarray):
        return sum(map(len, value.flat)) if value.dtype == object else value.nbytes
    return len(value.encode()) if isinstance(value, str) else len(value)


class Corpus:
    """All items, and how one is drawn: by the shares of `mix`."""

    def __init__(self, items: Sequence[Item], origin: str) -> None:
        self.items, self.origin = tuple(items), origin
        present = {item.pipeline for item in items}
        self._drawn = {name: _Draw(self.items, name) for name in present}
        self._shares = list(itertools.accumulate(mix.SHARES[name] for name in mix.PIPELINES))

    def pick(self, pipeline: str, chance: random.Random) -> int:
        """Return the index of an item of the pipeline, or of any one for `mix`."""
        if pipeline == mix.MIX:
            at = bisect(self._shares, chance.random() * self._shares[-1])
            pipeline = mix.PIPELINES[min(at, len(mix.PIPELINES) - 1)]
        return self._drawn[pipeline].pick(chance)

    def of(self, pipeline: str) -> tuple[int, ...]:
        """Return the indices of all items of a pipeline, or of all for `mix`."""
        return tuple(
            index for index, item in enumerate(self.items) if pipeline in (mix.MIX, item.pipeline)
        )


class _Draw:
    """The items of one pipeline with their cumulative weights."""

    def __init__(self, items: Sequence[Item], pipeline: str) -> None:
        sizes = mix.SIZES.get(pipeline, {"": 1.0})
        self._indices = [at for at, item in enumerate(items) if item.pipeline == pipeline]
        counts = dict.fromkeys(sizes, 0)
        for at in self._indices:
            counts[items[at].size] += 1
        weights = (sizes[items[at].size] / counts[items[at].size] for at in self._indices)
        self._weights = list(itertools.accumulate(weights))

    def pick(self, chance: random.Random) -> int:
        at = bisect(self._weights, chance.random() * self._weights[-1])
        return self._indices[min(at, len(self._indices) - 1)]


@functools.cache
def read_corpus(folder: Path | None = None) -> Corpus:
    """Return the payloads: a folder of the user's own, the real data, or drawn ones; read once.

    A file `MODEL.json` is one request with plain tensors, in perf_analyzer's format.

    Raises:
        ValueError: the folder lacks something; the message says what is needed.
    """
    if folder is not None and folder.suffix == ".json":
        return Corpus([_tensors(folder)], str(folder))
    if folder is not None:
        single, origin = list(_own(folder)), str(folder)
    elif _SHARED.is_dir():
        single, origin = list(_real(_SHARED)), "real data: FER2013, RAVDESS, MELD, photos, clips"
    else:
        single, origin = list(_drawn()), "drawn by arithmetic (emoserve_export.golden_media)"
    missing = {"face", "speech", "text", "video"} - {item.pipeline for item in single}
    if missing:
        raise ValueError(
            f"{origin} has nothing for {', '.join(sorted(missing))}; needed are pictures, sound "
            "files, clips and .txt files with a sentence on each line"
        )
    return Corpus([*single, *_moments(single)], origin)


def _moments(single: Sequence[Item]) -> Iterator[Item]:
    """`emotion` requests of the subsets that `mix` states, made of single items by a fixed seed."""
    chance = random.Random(0)
    names = {"face": "images", "speech": "audio", "text": "text"}
    of = {name: _good(single, name) for name in names}
    for subset, share in mix.SUBSETS.items():
        for _ in range(round(share * _MOMENTS)):
            inputs = {
                names[name]: next(iter(chance.choice(of[name]).inputs.values())) for name in subset
            }
            yield Item("emotion", "moment", "+".join(subset), inputs)


def _good(single: Sequence[Item], pipeline: str) -> list[Item]:
    """Items that hold what the pipeline looks for, as far as is known: alone they must not fail."""
    items = [item for item in single if item.pipeline == pipeline and item.label != _NOTHING]
    if pipeline == "face":  # a detector may miss a tiny one
        return [item for item in items if item.size != "tiny"] or items
    return [item for item in items if item.label] or items


def _picture(data: bytes, label: str = "") -> Item:
    with Image.open(io.BytesIO(data)) as image:
        size = mix.picture_size(image.width * image.height)
    return Item("face", size, "face", {"image": data}, label)


def _sound(data: bytes, label: str = "") -> Item:
    return Item("speech", mix.sound_size(len(data)), "speech", {"audio": data}, label)


def _sentence(text: str, label: str = "") -> Item:
    return Item("text", mix.text_size(text), "text", {"text": text}, label)


def _clip(data: bytes) -> Item:
    return Item("video", mix.clip_size(len(data)), "video", {"media": data})


def _own(folder: Path) -> Iterator[Item]:
    make: dict[str, Callable[[bytes], Item]] = {"face": _picture, "speech": _sound, "video": _clip}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() == ".txt":
            lines = path.read_text(encoding="utf-8").splitlines()
            yield from (_sentence(line.strip()) for line in lines if line.strip())
        for pipeline, suffixes in _SUFFIXES.items():
            if path.suffix.lower() in suffixes:
                yield make[pipeline](path.read_bytes())


def _real(folder: Path) -> Iterator[Item]:
    for path in sorted((folder / "photos").glob("*.jpg")):
        yield _picture(path.read_bytes(), _nothing(path))
    yield from _fer(folder / "faces")
    with (folder / "ravdess" / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for row in rows[:: max(1, len(rows) // _SOUNDS)]:
        yield _sound((folder / "ravdess" / row["file"]).read_bytes(), _name(row["label_name"]))
    for path in sorted((folder / "clips" / "audio").iterdir()):
        yield _sound(path.read_bytes(), _nothing(path))
    with (folder / "meld" / "test_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:: len(rows) // _SENTENCES]:
        yield _sentence(row["Utterance"], row["Emotion"])
    for path in sorted((folder / "clips").iterdir()):
        if path.suffix in _SUFFIXES["video"] and path.name not in _REFUSED:
            yield _clip(path.read_bytes())


def _fer(folder: Path) -> Iterator[Item]:
    """Labelled faces of the sheet of tiles, as small JPEG files."""
    with (folder / "fer2013_test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with Image.open(folder / "fer2013_test.jpg") as sheet:
        across = sheet.width // _TILE
        for index in range(0, len(rows), len(rows) // _FACES):
            left, top = index % across * _TILE, index // across * _TILE
            tile = sheet.crop((left, top, left + _TILE, top + _TILE))
            file_bytes = io.BytesIO()
            tile.resize((_FACE_SIDE, _FACE_SIDE)).save(file_bytes, "JPEG", quality=_JPEG_QUALITY)
            yield _picture(file_bytes.getvalue(), _name(rows[index]["label_name"]))


def _nothing(path: Path) -> str:
    return _NOTHING if path.name in _HOLD_NOTHING else ""


def _tensors(path: Path) -> Item:
    """A request to the model that the file is named after; byte strings are in base64."""
    (given,) = json.loads(path.read_text(encoding="utf-8"))["data"]
    tensors = {name: _array(one["content"], one["shape"]) for name, one in given.items()}
    return Item("model", "", path.stem, {"model": path.stem, "tensors": tensors})


def _array(content: Any, shape: list[int]) -> Any:
    """[1, *shape]: perf_analyzer leaves out the batch axis, and puts a length before strings."""
    if isinstance(content, dict):
        text = np.empty((1, *shape), object)
        text[...] = base64.b64decode(content["b64"])[PREFIX_BYTES:]
        return text
    values = np.asarray(content).reshape(1, *shape)
    return values.astype(np.float32) if values.dtype == float else values


def _name(label: str) -> str:
    return _CANONICAL.get(label, label)


def _drawn() -> Iterator[Item]:
    try:
        import av  # noqa: F401 - of the clip

        from emoserve_export import golden_media
    except ModuleNotFoundError as error:
        raise ValueError(
            "there are no real data here, and drawing payloads needs "
            "`pip install 'emoserve[ensemble]'`; or give a folder of your own with --media"
        ) from error
    yield from (_picture(golden_media.png(golden_media.face_picture(seed))) for seed in range(4))
    yield from (_sound(golden_media.wav(golden_media.voice(2.5, seed))) for seed in range(4))
    yield from (_sentence(text) for text in (golden_media.TEXT, "What?", golden_media.TEXT * 3))
    yield _clip(golden_media.clip())

"""What the fake's pipelines answer: docs/contracts.md to the letter, drawn from a hash."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from emoserve_client._results import EMOTIONS, MODALITIES, SENTIMENTS
from emoserve_client._sniff import sniff
from emoserve_client._tensors import Array
from emoserve_client.errors import InputError

VERSIONS = {
    "face_net": "1",
    "speech_net": "1",
    "text_net": "1",
    "fusion_net": "1",
    "voice_net": "1",
}
UTTERANCE_S = 2.0
MAX_TEXT_CHARACTERS = 10_000

Pipeline = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Specs = tuple[tuple[str, str, tuple[int, ...]], ...]
_ANSWER = ("answer", "BYTES", (-1, 1))
SIGNATURES: dict[str, tuple[Specs, Specs]] = {
    "face": ((("image", "BYTES", (-1, 1)),), (_ANSWER,)),
    "speech": ((("audio", "BYTES", (-1, 1)),), (_ANSWER,)),
    "text": ((("text", "BYTES", (-1, 1)),), (_ANSWER,)),
    "transcribe": ((("audio", "BYTES", (-1, 1)),), (_ANSWER,)),
    "emotion": (
        (
            ("images", "BYTES", (-1, -1)),
            ("audio", "BYTES", (-1, 1)),
            ("text", "BYTES", (-1, 1)),
        ),
        (_ANSWER,),
    ),
    "video": (
        (
            ("media", "BYTES", (1,)),
            ("media_base64", "BYTES", (1,)),
            ("transcript", "BYTES", (1,)),
            ("options", "BYTES", (1,)),
        ),
        (("answer", "BYTES", (1,)),),
    ),
}


def scores(labels: tuple[str, ...], *seed: bytes) -> list[dict[str, Any]]:
    """A probability for each label, best first, drawn from `seed`."""
    digest = hashlib.sha256(b"\0".join(seed)).digest()
    drawn = [1 + struct.unpack_from(">H", digest, 2 * at)[0] for at in range(len(labels))]
    found = [(label, one / sum(drawn)) for label, one in zip(labels, drawn, strict=True)]
    best_first = sorted(found, key=lambda item: -item[1])
    return [{"label": label, "confidence": confidence} for label, confidence in best_first]


def _face(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    image = _member(inputs, "image")
    _must_be("image", image, "picture", "JPEG, PNG and WebP")
    width, height = 640, 480
    if image.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", image, 16)
    box = [width * 0.25, height * 0.25, width * 0.75, height * 0.75]
    face = {"box": box, "detection": 0.99, "quality": 0.9}
    face["emotions"] = scores(EMOTIONS, b"face", image)
    return _answer({"width": width, "height": height, "faces": [face]}, "face_net")


def _speech(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    audio = _member(inputs, "audio")
    _must_be("audio", audio, "sound", "WAV, FLAC, MP3, Ogg and MP4")
    emotions = scores(EMOTIONS, b"speech", audio)
    window = {"start_time": 0.0, "end_time": UTTERANCE_S, "emotions": emotions}
    answer = {"duration": UTTERANCE_S, "speech": True, "emotions": emotions, "windows": [window]}
    return _answer(answer, "speech_net")


def _transcribe(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    audio = _member(inputs, "audio")
    _must_be("audio", audio, "sound", "WAV, FLAC, MP3, Ogg and MP4")
    times = {"start_time": 0.0, "end_time": UTTERANCE_S}
    spoken = {**times, "text": "hello", "words": [{"text": "hello", **times}]}
    answer = {"duration": UTTERANCE_S, "source": "fake", "text": "hello", "utterances": [spoken]}
    return _answer(answer, "voice_net")


def _text(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    words = _member(inputs, "text")
    if len(words) > MAX_TEXT_CHARACTERS:
        raise InputError(
            f"text: {len(words)} characters, at most {MAX_TEXT_CHARACTERS}", reason="too_long"
        )
    emotions, sentiments = scores(EMOTIONS, b"text", words), scores(SENTIMENTS, b"text", words)
    return _answer({"emotions": emotions, "sentiments": sentiments}, "text_net")


def _emotion(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    given = {
        name: b"\0".join(inputs[key].reshape(-1))
        for name, key in zip(MODALITIES, ("images", "audio", "text"), strict=True)
        if key in inputs
    }
    if not given:
        raise InputError("give at least one of images, audio and text", reason="nothing_given")
    return _answer(_fused(given), "fusion_net", *(f"{name}_net" for name in given))


def _video(inputs: Mapping[str, Array]) -> Iterator[Mapping[str, Array]]:
    media = _member(inputs, "media")
    _must_be("media", media, "video", "MP4, MOV, WebM, Matroska, MPEG and AVI")
    words = inputs["transcript"].reshape(-1)[0].decode() if "transcript" in inputs else "hello you"
    halves, segments = _halves(words), []
    for number, text in enumerate(halves):
        part = media + bytes([number])
        given = {"face": part, "speech": part, "text": text.encode()}
        times = {"start_time": UTTERANCE_S * number, "end_time": UTTERANCE_S * (number + 1)}
        fused = _fused(given)
        dominant = fused["emotions"][0]["label"]
        segments.append({**times, "label": dominant})
        yield _answer({"utterance": {**times, "text": text, "dominant": dominant, **fused}})
    yield _answer({"summary": _summary(media, segments)}, *VERSIONS)


def _summary(media: bytes, segments: list[dict[str, Any]]) -> dict[str, Any]:
    emotions = scores(EMOTIONS, b"summary", media)
    labels = [one["label"] for one in segments]
    return {
        "duration": UTTERANCE_S * len(segments),
        "utterances": len(segments),
        "dominant": emotions[0]["label"],
        "emotions": emotions,
        "sentiments": scores(SENTIMENTS, b"summary", media),
        "counts": {label: labels.count(label) for label in (*EMOTIONS, "uncertain")},
        "timeline": segments,
        "modalities": dict.fromkeys(MODALITIES, len(segments)),
        "persons": [],
    }


def _fused(given: Mapping[str, bytes]) -> dict[str, Any]:
    all_of_it = b"\0".join(given.values())
    modalities: dict[str, Any] = {}
    for name in MODALITIES:
        if name not in given:
            modalities[name] = {"present": False, "weight": 0.0, "reason": "not given"}
            continue
        said: dict[str, Any] = {"present": True, "weight": 1 / len(given)}
        said["emotions"] = scores(EMOTIONS, name.encode(), given[name])
        if name == "face":
            said |= {"faces": 1, "frames": 1}
        if name == "text":
            said["sentiments"] = scores(SENTIMENTS, b"text", given[name])
            said["text"], said["source"] = given[name].decode(), "given"
        modalities[name] = said
    return {
        "emotions": scores(EMOTIONS, b"fused", all_of_it),
        "sentiments": scores(SENTIMENTS, b"fused", all_of_it),
        "modalities": modalities,
    }


def _halves(words: str) -> list[str]:
    """The first and the second half of the words, or the only one."""
    split = words.split()
    middle = (len(split) + 1) // 2
    return [" ".join(half) for half in (split[:middle], split[middle:]) if half]


def _member(inputs: Mapping[str, Array], name: str) -> bytes:
    if name not in inputs or not inputs[name].size:
        raise InputError(f"{name}: nothing was given", reason="empty")
    member: bytes = inputs[name].reshape(-1)[0]
    if not member:
        raise InputError(f"{name}: there is nothing in it (0 bytes)", reason="empty")
    return member


def _must_be(name: str, data: bytes, kind: str, accepted: str) -> None:
    if sniff(data) != kind:
        raise InputError(f"{name}: not a {kind} ({accepted} are)", reason="undecodable")


def _answer(answer: dict[str, Any], *networks: str) -> Mapping[str, Array]:
    if networks:
        answer = {**answer, "models": {name: VERSIONS[name] for name in networks}}
    array = np.empty(1, dtype=object)
    array[0] = json.dumps(answer).encode()
    return {"answer": array}


def _batched(pipeline: Pipeline) -> Pipeline:
    """The pipeline for a batch: a member that cannot be used answers with its error."""

    def answers(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        members = max((len(array) for array in inputs.values()), default=1)
        if members == 1:
            return {"answer": pipeline(inputs)["answer"].reshape(1, 1)}
        batch = np.empty((members, 1), dtype=object)
        for at in range(members):
            try:
                member = {name: array[at : at + 1] for name, array in inputs.items()}
                batch[at, 0] = pipeline(member)["answer"][0]
            except InputError as err:
                error = {"reason": err.reason, "message": err.message}
                batch[at, 0] = json.dumps({"error": error}).encode()
        return {"answer": batch}

    return answers


PIPELINES: dict[str, Callable[[Mapping[str, Array]], Any]] = {
    "face": _batched(_face),
    "speech": _batched(_speech),
    "text": _batched(_text),
    "transcribe": _batched(_transcribe),
    "emotion": _batched(_emotion),
    "video": _video,
}

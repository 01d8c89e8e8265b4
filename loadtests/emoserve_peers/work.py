"""The work that every server of the comparison does: encoded requests to the answers' JSON.

These are emoserve's own pipelines, called as its Triton steps call them. What differs from one
server to the other is only what is around them.
"""

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2

from emoserve_ensemble import answers, emotion, face, faces, speech, text
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.networks import LocalNetworks, Networks, newest_version
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools

Analyze: TypeAlias = Callable[[Sequence[bytes], Tools], Sequence[Any]]

_LENGTH = struct.Struct("<I")


def joined(parts: Iterable[bytes]) -> bytes:
    """Return several byte strings as one body, each after its length."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def taken_apart(body: bytes) -> list[bytes]:
    """Return what was `joined`."""
    parts, start = [], 0
    while start < len(body):
        (size,) = _LENGTH.unpack_from(body, start)
        start += _LENGTH.size
        parts.append(body[start : start + size])
        start += size
    return parts


def _moments(bodies: Sequence[bytes], tools: Tools) -> Sequence[Any]:
    """Analyse bodies of a picture, a sound and a sentence each."""
    given = []
    for body in bodies:
        image, audio, words = taken_apart(body)
        given.append(emotion.Given((image,), audio, words))
    return emotion.analyze_moments(given, tools)


@dataclass(frozen=True)
class _Parts:
    """The answers of the three pipelines about the parts of one moment."""

    face: Any
    speech: Any
    text: Any

    def to_json(self) -> answers.Json:
        return {name: getattr(self, name).to_json() for name in ("face", "speech", "text")}


def _separate_parts(bodies: Sequence[bytes], tools: Tools) -> Sequence[Any]:
    """Analyse the parts of moments each by its own pipeline: the sum of the parts, not fused."""
    pictures, sounds, words = zip(*(taken_apart(body) for body in bodies), strict=True)
    return [
        _Parts(*parts)
        for parts in zip(
            face.analyze_images(pictures, tools),
            speech.analyze_sounds(sounds, tools),
            text.analyze_texts(words, tools),
            strict=True,
        )
    ]


ANALYZE: Mapping[str, tuple[Analyze, tuple[str, ...]]] = {
    "face": (face.analyze_images, faces.NETWORKS),
    "speech": (speech.analyze_sounds, speech.NETWORKS),
    "text": (text.analyze_texts, text.NETWORKS),
    "emotion": (_moments, emotion.NETWORKS),
    "parts": (_separate_parts, emotion.NETWORKS),
}


class Work:
    """One pipeline, ready to be called.

    Args:
        pipeline: a name of `ANALYZE`.
        networks: who answers for its networks.
        repository: the exported model repository; the tokenizer comes from there.
    """

    def __init__(self, pipeline: str, networks: Networks, repository: Path) -> None:
        cv2.setNumThreads(1)  # a worker per core
        self._analyze = ANALYZE[pipeline][0]
        reads_text = "text_net" in ANALYZE[pipeline][1]
        self._tools = Tools(networks, _tokenizer(repository) if reads_text else None)
        self._models = {"models": dict(networks.versions)}

    def __call__(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Return one UTF-8 JSON answer per body, in order; as a batch where several come."""
        return [
            answers.encoded(
                answers.failure(item)
                if isinstance(item, InputError)
                else item.to_json() | self._models
            )
            for item in self._analyze(bodies, self._tools)
        ]


def _tokenizer(repository: Path) -> Tokenizer:
    folder = newest_version(repository / "text_tokens", "tokenizer.json")
    return Tokenizer.from_file(folder / "tokenizer.json")


def work_of_environment() -> Work:
    """Return the work that the benchmark ordered through `BENCH_*` variables."""
    pipeline = os.environ["BENCH_PIPELINE"]
    repository = Path(os.environ["BENCH_REPOSITORY"])
    names = ANALYZE[pipeline][1]
    if os.environ["BENCH_NETWORKS"] == "torch":
        from emoserve_peers.torch_networks import TorchNetworks

        return Work(pipeline, TorchNetworks(repository, names), repository)
    return Work(pipeline, LocalNetworks(repository, names, threads=1), repository)

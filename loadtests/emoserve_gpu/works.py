"""What is asked: each network alone with its declared samples, each pipeline with drawn media."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emoserve_export import golden_media
from emoserve_export.catalogue import FACE, FUSION, SPEECH, TEXT
from emoserve_export.declaration import Arrays, Network
from emoserve_gpu.plan import MOST_ITEMS

NETWORKS: dict[str, Network] = {one.name: one for one in (FACE, SPEECH, TEXT, FUSION)}
# A pipeline and the network whose raw rate its passes are held against.
PIPELINES = {"face": "face_net", "speech": "speech_net", "text": "text_net",
             "emotion": "fusion_net", "video": "fusion_net"}  # fmt: skip
VIDEO = "video"
_SEED = 1
_INPUT = {"face": "image", "speech": "audio", "text": "text"}


@dataclass(frozen=True)
class Work:
    """A Triton model, its inputs for `MOST_ITEMS` items, and the network that it stands on."""

    model: str
    network: str
    inputs: dict[str, Any]

    @property
    def is_network(self) -> bool:
        return self.model == self.network

    def batch(self, items: int) -> dict[str, Any]:
        """Return the inputs of the first items; the token count is the same in every batch."""
        return {name: array[:items] for name, array in self.inputs.items()}


def network_inputs(network: Network) -> Arrays:
    """Return inputs for `MOST_ITEMS` items, by input name."""
    return network.sample(MOST_ITEMS, _SEED)


def require_known(names: Sequence[str], known: Collection[str]) -> None:
    """Raise ValueError where a name is none of the known ones."""
    if unknown := set(names) - set(known):
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")


def works(names: Sequence[str] = ()) -> tuple[Work, ...]:
    """Return the works of these names, all without any; networks first.

    Raises:
        ValueError: a name is none of them.
    """
    known = [*NETWORKS, *PIPELINES]
    require_known(names, known)
    chosen = [name for name in known if name in names] if names else known
    return tuple(map(_work, chosen))


def _work(name: str) -> Work:
    if name in NETWORKS:
        return Work(name, name, network_inputs(NETWORKS[name]))
    return Work(name, PIPELINES[name], _media(name))


def _media(pipeline: str) -> dict[str, Any]:
    """The drawn face, voice and sentence, [items, 1] bytes; for `video` the clip itself."""
    if pipeline == VIDEO:
        return {"media": golden_media.clip()}
    one = {
        "face": golden_media.png(golden_media.face_picture()),
        "speech": golden_media.wav(golden_media.voice()),
        "text": golden_media.TEXT.encode(),
    }
    if pipeline == "emotion":
        return {"images": _column(one["face"]), "audio": _column(one["speech"]),
                "text": _column(one["text"])}  # fmt: skip
    return {_INPUT[pipeline]: _column(one[pipeline])}


def _column(value: bytes) -> Any:
    column = np.empty((MOST_ITEMS, 1), object)
    column[:] = value
    return column

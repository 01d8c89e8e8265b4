"""One request to a pipeline through our client, and what came of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from emoserve_client import EmotionClient, InputError, Model, Retry, Scores
from emoserve_client._transport import Connection
from emoserve_client.errors import EmoserveError
from emoserve_loadtests.media import Item
from emoserve_loadtests.transport import GeventNetwork

# A face or a voice may be absent: then there is no emotion, and that is the answer.
_CALLS: dict[str, Callable[[EmotionClient, Any], Scores]] = {
    "face": lambda client, inputs: next(
        (face.emotions for face in client.face(inputs["image"])), Scores()
    ),
    "speech": lambda client, inputs: client.speech(inputs["audio"]).emotions,
    "text": lambda client, inputs: client.text(inputs["text"]).emotions,
    "emotion": lambda client, inputs: client.emotion(**inputs).emotions,
    "video": lambda client, inputs: client.video(inputs["media"]).summary.emotions,
    "model": lambda client, inputs: _infer(client, **inputs),
}


def _infer(client: EmotionClient, model: str, tensors: Mapping[str, Any]) -> Scores:
    """Any model with plain tensors; its answer is not looked at."""
    _described(client, model).infer(**tensors)
    return Scores()


@functools.cache
def _described(client: EmotionClient, model: str) -> Model:
    """The model with its metadata, asked for once."""
    return client.model(model)


def connect(url: str, timeout_s: float) -> EmotionClient:
    """Return a client that tries once: a load test must see every failure, and cause no retries."""
    return EmotionClient(
        url,
        timeout_s=timeout_s,
        video_timeout_s=timeout_s,
        retry=Retry(attempts=1),
        hooks=(),
        connector=GeventNetwork(Connection(), timeout_s),
    )


def ask(client: EmotionClient, item: Item) -> str:
    """Return the strongest emotion that the pipeline sees, or "none".

    Raises:
        EmoserveError: see `emoserve_client.errors`.
    """
    scores = _CALLS[item.pipeline](client, item.inputs)
    return scores.top.label if scores else "none"


def kind_of(error: EmoserveError) -> str:
    """Return an error's kind in a word or two: its class, and an input error's reason."""
    name = type(error).__name__.removesuffix("Error")
    return f"{name} {error.reason}" if isinstance(error, InputError) else name

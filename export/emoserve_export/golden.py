"""Golden requests: what was asked at export and what the trained networks answered.

They lie in the repository beside what they test and are replayed by `emoserve verify`:

    <network>/<version>/golden.npz    in/<input>, trained/<output>, graph/<output>
    <pipeline>/1/golden.npz           in/<input> as bytes, answer as JSON
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export import golden_media
from emoserve_export.declaration import Arrays, Network
from emoserve_export.errors import UnavailableError
from emoserve_export.golden_file import packed
from emoserve_export.trained import TrainedNetworks


def golden_pair(network: Network, pairs: Sequence[tuple[Arrays, Arrays]]) -> tuple[Arrays, Arrays]:
    """Return what is asked and what the trained network answers: two items, real ones if any."""
    if not network.batched:
        return pairs[-1]  # the longest
    first = network.inputs[0].name
    inputs, trained = next(pair for pair in pairs if len(pair[0][first]) >= 2)
    return {k: v[:2] for k, v in inputs.items()}, {k: v[:2] for k, v in trained.items()}


def network_golden(inputs: Arrays, trained: Arrays, graph: Arrays) -> bytes:
    """Return the golden request of a network.

    Args:
        inputs: what is asked.
        trained: what the trained network answers.
        graph: what the published graph answers; differs from `trained` by its precision.
    """
    return packed({"in": inputs, "trained": trained, "graph": graph})


def pipeline_goldens(networks: Sequence[Network], tokenizer: bytes) -> dict[str, bytes]:
    """Return a golden request for each public pipeline, answered by the trained networks."""
    requests = pipeline_requests()
    answers = _pipeline_answers(requests, TrainedNetworks(networks), tokenizer)
    return {
        name: packed(
            {
                "in": {key: _bytes(value) for key, value in requests[name].items()},
                "answer": {"json": _bytes(json.dumps(answer).encode())},
            }
        )
        for name, answer in answers.items()
    }


def pipeline_requests() -> dict[str, dict[str, bytes]]:
    """Return one request for each public pipeline: input name -> bytes."""
    words = golden_media.TEXT.encode()
    video = {"media": golden_media.clip(), "transcript": words}
    return golden_media.still_requests() | {"video": video}


def _pipeline_answers(
    requests: Mapping[str, Mapping[str, bytes]], networks: TrainedNetworks, tokenizer_json: bytes
) -> dict[str, list[Any]]:
    try:
        from emoserve_ensemble import clip, emotion, face, speech, text
        from emoserve_ensemble.tokens import Tokenizer
        from emoserve_ensemble.tools import Tools
    except ImportError as err:
        raise UnavailableError(
            f"the pipelines' golden requests need what decodes media ({err}): "
            "pip install 'emoserve[ensemble]', or name the networks to export"
        ) from err

    tools = Tools(networks, Tokenizer(tokenizer_json))
    video, moment = requests["video"], requests["emotion"]
    given = emotion.Given((moment["images"],), moment["audio"], moment["text"])
    words = video["transcript"].decode()
    batched: dict[str, Callable[[], Sequence[Any]]] = {
        "face": lambda: face.analyze_images([requests["face"]["image"]], tools),
        "speech": lambda: speech.analyze_sounds([requests["speech"]["audio"]], tools),
        "text": lambda: text.analyze_texts([requests["text"]["text"]], tools),
        "emotion": lambda: emotion.analyze_moments([given], tools),
    }
    answers = {name: [_json(item) for item in analyze()] for name, analyze in batched.items()}
    answers["video"] = list(clip.analyze_clip(video["media"], tools, transcript=words))
    return answers


def _json(item: Any) -> Any:
    """Return an answer as the wire has it; an InputError is raised: golden media is usable."""
    if isinstance(item, Exception):
        raise item
    return item.to_json()


def _bytes(data: bytes) -> Array:
    return np.frombuffer(data, np.uint8)

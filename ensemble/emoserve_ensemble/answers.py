"""The JSON that callers read: see docs/contracts.md, «answer»."""

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.labels import EMOTIONS, SENTIMENTS

Json: TypeAlias = dict[str, Any]


def scores(labels: Sequence[str], probabilities: Floats) -> list[Json]:
    """Return all classes, the most likely first, confidences summing to 1.

    Args:
        probabilities: float32 [len(labels)].
    """
    total = float(probabilities.sum())
    shares = [float(value) / total if total > 0 else 1 / len(labels) for value in probabilities]
    ranked = sorted(zip(labels, shares, strict=True), key=lambda pair: -pair[1])
    return [{"label": label, "confidence": round(share, 6)} for label, share in ranked]


def emotions(probabilities: Floats) -> list[Json]:
    """Return the seven canonical emotions; `probabilities` is float32 [7]."""
    return scores(EMOTIONS, probabilities)


def sentiments(probabilities: Floats) -> list[Json]:
    """Return the three canonical sentiments; `probabilities` is float32 [3]."""
    return scores(SENTIMENTS, probabilities)


def failure(error: InputError) -> Json:
    """Return what stands in place of the answer of a batch member that cannot be used."""
    return {"error": {"reason": error.reason, "message": error.message}}


def encoded(answer: Json) -> bytes:
    """Return compact UTF-8 JSON."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

"""The pipelines' JSON answers, read strictly into results.

Every function raises `WrongAnswerError` when the JSON is not what docs/contracts.md says: an
answer half understood would be worse than none. Unknown extra keys are let through, so that a
newer server can say more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from emoserve_client._results import (
    EMOTIONS,
    MODALITIES,
    SENTIMENTS,
    EmotionAnalysis,
    Face,
    FaceAnalysis,
    Frame,
    Modality,
    Person,
    Score,
    Scores,
    Segment,
    SpeechAnalysis,
    SpeechWindow,
    SpokenText,
    Summary,
    TextAnalysis,
    Transcript,
    Utterance,
    Word,
)
from emoserve_client.errors import InputError, WrongAnswerError

T = TypeVar("T")
SUM_TOLERANCE = 1e-3
_LIST: type[list[Any]] = list
_DICT: type[dict[str, Any]] = dict


def parse(raw: bytes | str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        InputError: it is a batch member's `{"error": {"reason", "message"}}`.
        WrongAnswerError: it is no JSON object.
    """
    try:
        answer = json.loads(raw)
    except ValueError as err:
        raise WrongAnswerError(f"the answer is not JSON: {raw[:80]!r}") from err
    if not isinstance(answer, dict):
        raise WrongAnswerError(f"the answer is not a JSON object: {raw[:80]!r}")
    if isinstance(error := answer.get("error"), dict):
        raise InputError(str(error.get("message")), reason=str(error.get("reason")))
    return answer


def face(answer: Mapping[str, Any]) -> FaceAnalysis:
    """The `face` pipeline's answer."""
    return FaceAnalysis(
        width=_get(answer, "width", int),
        height=_get(answer, "height", int),
        faces=tuple(_face(one) for one in _get(answer, "faces", _LIST)),
        models=_models(answer),
    )


def speech(answer: Mapping[str, Any]) -> SpeechAnalysis:
    """The `speech` pipeline's answer."""
    spoken = _get(answer, "speech", bool)
    return SpeechAnalysis(
        duration=_number(answer, "duration"),
        speech=spoken,
        emotions=_scores(answer, "emotions", EMOTIONS) if spoken else Scores(),
        windows=tuple(_window(one) for one in _get(answer, "windows", _LIST)),
        models=_models(answer),
    )


def text(answer: Mapping[str, Any]) -> TextAnalysis:
    """The `text` pipeline's answer."""
    return TextAnalysis(
        emotions=_scores(answer, "emotions", EMOTIONS),
        sentiments=_scores(answer, "sentiments", SENTIMENTS),
        models=_models(answer),
    )


def emotion(answer: Mapping[str, Any]) -> EmotionAnalysis:
    """The `emotion` pipeline's answer."""
    return EmotionAnalysis(
        emotions=_scores(answer, "emotions", EMOTIONS),
        sentiments=_scores(answer, "sentiments", SENTIMENTS),
        modalities=_modalities(answer),
        models=_models(answer),
    )


def transcript(answer: Mapping[str, Any]) -> Transcript:
    """The `transcribe` pipeline's answer."""
    return Transcript(
        duration=_number(answer, "duration"),
        source=_get(answer, "source", str),
        text=_get(answer, "text", str),
        utterances=tuple(_spoken(one) for one in _get(answer, "utterances", _LIST)),
        models=_models(answer),
    )


def utterance(answer: Mapping[str, Any]) -> Utterance:
    """One utterance of the `video` pipeline, the value of its key `utterance`."""
    return Utterance(
        start_time=_number(answer, "start_time"),
        end_time=_number(answer, "end_time"),
        text=_get(answer, "text", str),
        dominant=_get(answer, "dominant", str),
        emotions=_scores(answer, "emotions", EMOTIONS),
        sentiments=_scores(answer, "sentiments", SENTIMENTS),
        modalities=_modalities(answer),
        frames=tuple(_frame(one) for one in answer.get("frames", ())),
    )


def summary(answer: Mapping[str, Any]) -> tuple[Summary, Mapping[str, str]]:
    """The last answer of the `video` pipeline: the clip's summary and the models' versions."""
    inner = _get(answer, "summary", _DICT)
    present = _get(inner, "modalities", _DICT)
    return (
        Summary(
            duration=_number(inner, "duration"),
            utterances=_get(inner, "utterances", int),
            dominant=_get(inner, "dominant", str),
            emotions=_scores(inner, "emotions", EMOTIONS),
            sentiments=_scores(inner, "sentiments", SENTIMENTS),
            counts={str(label): int(n) for label, n in _get(inner, "counts", _DICT).items()},
            timeline=_timeline(inner),
            modalities={name: _get(present, name, int) for name in MODALITIES},
            persons=tuple(_person(one) for one in _get(inner, "persons", _LIST)),
        ),
        _models(answer),
    )


def _face(answer: Mapping[str, Any]) -> Face:
    box = _get(answer, "box", _LIST)
    if len(box) != 4 or not all(isinstance(edge, int | float) for edge in box):
        raise WrongAnswerError(f"a box is left, top, right, bottom in pixels, not {box}")
    left, top, right, bottom = (float(edge) for edge in box)
    return Face(
        box=(left, top, right, bottom),
        detection=_number(answer, "detection"),
        quality=_number(answer, "quality"),
        emotions=_scores(answer, "emotions", EMOTIONS),
        person=_optional(answer, "person", int),
    )


def _frame(answer: Mapping[str, Any]) -> Frame:
    faces = tuple(_face(one) for one in _get(answer, "faces", _LIST))
    return Frame(_number(answer, "time"), faces)


def _timeline(answer: Mapping[str, Any]) -> tuple[Segment, ...]:
    return tuple(
        Segment(_number(one, "start_time"), _number(one, "end_time"), _get(one, "label", str))
        for one in _get(answer, "timeline", _LIST)
    )


def _person(answer: Mapping[str, Any]) -> Person:
    return Person(
        person=_get(answer, "person", int),
        start_time=_number(answer, "start_time"),
        end_time=_number(answer, "end_time"),
        frames=_get(answer, "frames", int),
        dominant=_get(answer, "dominant", str),
        emotions=_scores(answer, "emotions", EMOTIONS),
        timeline=_timeline(answer),
    )


def _spoken(answer: Mapping[str, Any]) -> SpokenText:
    words = tuple(
        Word(_get(one, "text", str), _number(one, "start_time"), _number(one, "end_time"))
        for one in _get(answer, "words", _LIST)
    )
    times = (_number(answer, "start_time"), _number(answer, "end_time"))
    return SpokenText(*times, _get(answer, "text", str), words)


def _window(answer: Mapping[str, Any]) -> SpeechWindow:
    return SpeechWindow(
        start_time=_number(answer, "start_time"),
        end_time=_number(answer, "end_time"),
        emotions=_scores(answer, "emotions", EMOTIONS),
    )


def _modalities(answer: Mapping[str, Any]) -> dict[str, Modality]:
    given = _get(answer, "modalities", _DICT)
    return {name: _modality(_get(given, name, _DICT)) for name in MODALITIES}


def _modality(answer: Mapping[str, Any]) -> Modality:
    if not _get(answer, "present", bool):
        return Modality(present=False, weight=0.0, reason=_get(answer, "reason", str))
    has_sentiments = "sentiments" in answer
    return Modality(
        present=True,
        weight=_number(answer, "weight"),
        emotions=_scores(answer, "emotions", EMOTIONS),
        sentiments=_scores(answer, "sentiments", SENTIMENTS) if has_sentiments else Scores(),
        faces=_optional(answer, "faces", int),
        frames=_optional(answer, "frames", int),
        persons=tuple(answer.get("persons", ())),
        text=_optional(answer, "text", str),
        source=_optional(answer, "source", str),
    )


def _models(answer: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(version) for name, version in _get(answer, "models", _DICT).items()}


def _scores(answer: Mapping[str, Any], key: str, labels: tuple[str, ...]) -> Scores:
    """All of `labels` with their confidence, best first."""
    found = {}
    for one in _get(answer, key, _LIST):
        if not isinstance(one, dict):
            raise WrongAnswerError(f"{key} holds {one!r}, expected label and confidence")
        found[_get(one, "label", str)] = _number(one, "confidence")
    if set(found) != set(labels):
        raise WrongAnswerError(f"{key} names {sorted(found)}, expected {sorted(labels)}")
    if abs(sum(found.values()) - 1) > SUM_TOLERANCE:
        raise WrongAnswerError(f"{key} sum to {sum(found.values()):.4f}, expected 1")
    best_first = sorted(found.items(), key=lambda item: -item[1])
    return Scores(Score(label, confidence) for label, confidence in best_first)


def _get(answer: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """`answer[key]`, which must be of the type `kind`."""
    if key not in answer:
        raise WrongAnswerError(f"the answer has no {key!r}; it has: {', '.join(answer)}")
    value = answer[key]
    # JSON's true is a Python int; a count that is `true` is wrong.
    if type(value) is not kind:
        raise WrongAnswerError(f"{key!r} is {value!r}, expected {kind.__name__}")
    return value


def _optional(answer: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    return _get(answer, key, kind) if answer.get(key) is not None else None


def _number(answer: Mapping[str, Any], key: str) -> float:
    """`answer[key]` as a finite float."""
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongAnswerError(f"{key!r} is {value!r}, expected a finite number")
    return float(value)

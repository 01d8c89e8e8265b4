"""What the pipelines answer, as frozen dataclasses.

Times are seconds from the start of the media, boxes are pixels, confidences are probabilities:
`emotions` and `sentiments` hold every class, best first, and sum to 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("negative", "neutral", "positive")
MODALITIES = ("face", "speech", "text")


def _plain(value: Any) -> Any:
    """`value` as dicts, lists, strings and numbers only."""
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, Score):
        return {"label": value.label, "confidence": value.confidence}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


class Result:
    """What all answers share: plain data, JSON, a readable form, a data frame."""

    def to_dict(self) -> dict[str, Any]:
        """The answer as dicts, lists, strings and numbers, named as in the server's JSON."""
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]  # each is a dataclass
        return {name: _plain(getattr(self, name)) for name in names}

    def to_json(self, *, indent: int | None = None) -> str:
        """The answer as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_frame(self) -> pandas.DataFrame:
        """One row per face, window, utterance or answer; one column per class.

        Raises:
            ImportError: pandas is not installed.
        """
        from emoserve_client._frames import to_frame

        return to_frame(self)

    def __rich__(self) -> RenderableType:
        from emoserve_client._tables import renderable

        return renderable(self)


@dataclass(frozen=True)
class Score:
    """How sure a network is of one class, from 0 to 1."""

    label: str
    confidence: float

    def __str__(self) -> str:
        return f"{self.label} {self.confidence:.2f}"

    __repr__ = __str__


class Scores(tuple[Score, ...]):
    """Every class with its confidence, best first: `.top`, `["joy"]`, or iterate."""

    __slots__ = ()

    @property
    def top(self) -> Score:
        """The class with the highest confidence."""
        return self[0]

    def of(self, label: str) -> float:
        """The confidence of `label`, from 0 to 1.

        Raises:
            KeyError: no such class; the message names those there are.
        """
        for score in self:
            if score.label == label:
                return score.confidence
        raise KeyError(f"no class {label!r}; there are: {', '.join(s.label for s in self)}")

    def __repr__(self) -> str:
        return "(" + ", ".join(str(score) for score in self) + ")"


@dataclass(frozen=True)
class Face(Result):
    """One face: `box` is left, top, right, bottom in pixels; `detection` is how sure it is one.

    `quality`, 0 to 1, is how much can be seen in it; `person` its number in a clip.
    """

    box: tuple[float, float, float, float]
    detection: float
    quality: float
    emotions: Scores
    person: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `Result.to_dict`; `person` only in clips."""
        return _said(super().to_dict())


@dataclass(frozen=True)
class FaceAnalysis(Result):
    """The faces of one picture, `width` by `height` pixels."""

    width: int
    height: int
    faces: tuple[Face, ...]
    models: Mapping[str, str] = field(repr=False)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True)
class SpeechWindow(Result):
    """One stretch of sound that the network judged by itself."""

    start_time: float
    end_time: float
    emotions: Scores


@dataclass(frozen=True)
class SpeechAnalysis(Result):
    """The voice in one recording; where nobody speaks `speech` is false and `emotions` is empty."""

    duration: float
    speech: bool
    emotions: Scores
    windows: tuple[SpeechWindow, ...]
    models: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Word(Result):
    """One recognised word."""

    text: str
    start_time: float
    end_time: float


@dataclass(frozen=True)
class SpokenText(Result):
    """A stretch of recognised speech."""

    start_time: float
    end_time: float
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Transcript(Result):
    """What is said in a recording; `source` is the recogniser."""

    duration: float
    source: str
    text: str
    utterances: tuple[SpokenText, ...]
    models: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class TextAnalysis(Result):
    """The words of one text."""

    emotions: Scores
    sentiments: Scores
    models: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Modality(Result):
    """What one modality said, and how much it counted; `reason` says why it did not.

    Faces tell how many `faces` in how many `frames`, and in clips of which `persons`; words their
    `text` and its `source`, `given` or a recogniser.
    """

    present: bool
    weight: float
    reason: str | None = None
    emotions: Scores = field(default_factory=Scores)
    sentiments: Scores = field(default_factory=Scores)
    faces: int | None = None
    frames: int | None = None
    persons: tuple[int, ...] = ()
    text: str | None = None
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `Result.to_dict`, without what the modality did not say."""
        return _said(super().to_dict())


def _said(plain: dict[str, Any]) -> dict[str, Any]:
    """`plain` without what was not said."""
    return {key: value for key, value in plain.items() if value not in (None, [])}


class Fused(Result):
    """What several modalities say together."""

    modalities: Mapping[str, Modality]

    @property
    def counted(self) -> tuple[str, ...]:
        """The modalities that counted, in the order face, speech, text."""
        return tuple(name for name in MODALITIES if self.modalities[name].present)


@dataclass(frozen=True)
class EmotionAnalysis(Fused):
    """Several modalities of one moment, fused."""

    emotions: Scores
    sentiments: Scores
    modalities: Mapping[str, Modality]
    models: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Frame(Result):
    """One sampled frame of a clip, and the faces in it."""

    time: float
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Utterance(Fused):
    """A stretch of speech in a clip, with what face, voice and words say about it.

    `dominant` is the strongest emotion, or `uncertain` below the caller's threshold; `frames` are
    there when the caller asked for them.
    """

    start_time: float
    end_time: float
    text: str
    dominant: str
    emotions: Scores
    sentiments: Scores
    modalities: Mapping[str, Modality]
    frames: tuple[Frame, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As `Result.to_dict`; `frames` only where they were asked for."""
        return _said(super().to_dict())


@dataclass(frozen=True)
class Segment(Result):
    """A stretch of a clip in which one emotion prevails; `label` may be `uncertain`."""

    start_time: float
    end_time: float
    label: str


@dataclass(frozen=True)
class Person(Result):
    """One person seen in a clip, from the first to the last time."""

    person: int
    start_time: float
    end_time: float
    frames: int
    dominant: str
    emotions: Scores
    timeline: tuple[Segment, ...]


@dataclass(frozen=True)
class Summary(Result):
    """A whole clip: `utterances` of them, and in how many each modality counted.

    `counts` says in how many utterances each emotion was dominant, `timeline` when.
    """

    duration: float
    utterances: int
    dominant: str
    emotions: Scores
    sentiments: Scores
    counts: Mapping[str, int]
    timeline: tuple[Segment, ...]
    modalities: Mapping[str, int]
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class VideoAnalysis(Result):
    """A clip: its utterances in time order, and the summary."""

    utterances: tuple[Utterance, ...]
    summary: Summary
    models: Mapping[str, str] = field(repr=False)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

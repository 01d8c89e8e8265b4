"""Results as pandas frames. pandas is asked for only here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from emoserve_client._results import (
    FaceAnalysis,
    Fused,
    Modality,
    Result,
    Scores,
    SpeechAnalysis,
    VideoAnalysis,
)

if TYPE_CHECKING:
    import pandas


def to_frame(result: Result) -> pandas.DataFrame:
    """One row per face, window, utterance or answer; a column per class.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as err:
        raise ImportError("a data frame needs pandas: pip install pandas") from err
    return pandas.DataFrame(list(rows(result)))


def rows(result: Result) -> Iterable[dict[str, Any]]:
    """The result as flat rows: of its parts where it has parts, else of itself."""
    if isinstance(result, VideoAnalysis):
        parts: tuple[Result, ...] = result.utterances
    elif isinstance(result, FaceAnalysis):
        parts = result.faces
    elif isinstance(result, SpeechAnalysis) and result.windows:
        parts = result.windows
    else:
        parts = (result,)
    return [_row(one) for one in parts]


def _row(result: Result) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in vars(result).items():
        if isinstance(value, Scores):
            row |= _scores(name, value)
        elif name == "box":
            row |= dict(zip(("left", "top", "right", "bottom"), value, strict=True))
        elif name == "modalities" and isinstance(result, Fused):
            for modality, said in result.modalities.items():
                row |= _modality(modality, said)
        elif not isinstance(value, Mapping | tuple):
            row[name] = value
    return row


def _scores(name: str, scores: Scores) -> dict[str, Any]:
    """The best class, and each class: `emotion`, `emotion_joy`, ..."""
    one = name.removesuffix("s")
    best = {one: scores.top.label} if scores else {}
    by_name = sorted(scores, key=lambda score: score.label)
    return best | {f"{one}_{score.label}": score.confidence for score in by_name}


def _modality(name: str, said: Modality) -> dict[str, Any]:
    top = said.emotions.top.label if said.emotions else None
    return {f"{name}_weight": said.weight, f"{name}_emotion": top, f"{name}_reason": said.reason}

"""One analysed file: what the analysis is of, and how it is written as JSON and read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emoserve_client import _answers
from emoserve_client._results import (
    FaceAnalysis,
    SpeechAnalysis,
    TextAnalysis,
    VideoAnalysis,
)
from emoserve_client.errors import EmoserveError, InputError, WrongAnswerError

Analysis = FaceAnalysis | SpeechAnalysis | TextAnalysis | VideoAnalysis
PIPELINES = ("face", "speech", "text", "video")


@dataclass(frozen=True)
class Record:
    """A file and what was found in it, or the error; `size_bytes` tells whether it has changed."""

    file: str
    pipeline: str
    size_bytes: int
    analysis: Analysis | None
    error: EmoserveError | None = None

    def document(self) -> dict[str, Any]:
        """The JSON object for the file: `file`, `analysis`, `models`, or `file`, `error`."""
        if self.analysis is None:
            return {"file": self.file, "error": error_document(self.error)}
        analysis = self.analysis.to_dict()
        models = analysis.pop("models")
        return {"file": self.file, "analysis": analysis, "models": models}

    def line(self) -> str:
        """The file's line in JSON Lines: the document, and what resuming needs."""
        more = {"pipeline": self.pipeline, "size_bytes": self.size_bytes}
        return json.dumps(self.document() | more, ensure_ascii=False)


def error_document(error: EmoserveError | None) -> dict[str, str]:
    """An error as JSON."""
    if error is None:
        return {}
    reason = error.reason if isinstance(error, InputError) else type(error).__name__
    return {"reason": reason, "message": error.message}


def from_line(line: str) -> Record:
    """The record that `Record.line` wrote.

    Raises:
        WrongAnswerError: the line is none of ours.
    """
    try:
        found = json.loads(line)
        file, pipeline = found["file"], found["pipeline"]
        size_bytes = int(found["size_bytes"])
        if "error" in found:
            error = EmoserveError(found["error"]["message"])
            return Record(file, pipeline, size_bytes, None, error)
        plain = {**found["analysis"], "models": found["models"]}
        return Record(file, pipeline, size_bytes, _READ[pipeline](plain))
    except (ValueError, KeyError, TypeError) as err:
        raise WrongAnswerError(f"not a line of an analysis: {line[:80]!r}") from err


def _video(plain: Mapping[str, Any]) -> VideoAnalysis:
    summary, models = _answers.summary(plain)
    utterances = tuple(_answers.utterance(one) for one in plain["utterances"])
    return VideoAnalysis(utterances, summary, models)


_READ: dict[str, Callable[[Mapping[str, Any]], Analysis]] = {
    "face": _answers.face,
    "speech": _answers.speech,
    "text": _answers.text,
    "video": _video,
}

"""A clip's utterances as subtitles, each with its emotion: WebVTT and SRT.

Source: WebVTT, W3C Candidate Recommendation: a cue's text must not hold `-->`, `<` and `&`
are escaped; a voice span `<v name>` and class spans `<c.name>` may style it.
"""

from __future__ import annotations

from collections.abc import Iterator

from emoserve_client._results import Utterance, VideoAnalysis
from emoserve_client._tables import COLOURS

_MIN_CUE_S = 0.001


def webvtt(video: VideoAnalysis) -> str:
    """The clip's WebVTT file; players that know styles show each emotion in its colour."""
    styles = [f"::cue(.{name}) {{ color: {colour}; }}" for name, colour in COLOURS.items()]
    cues = [f"{times}\n{_vtt_text(one)}" for times, one in _cues(video, ".")]
    return "\n\n".join(["WEBVTT", "STYLE\n" + "\n".join(styles), *cues]) + "\n"


def srt(video: VideoAnalysis) -> str:
    """The clip's SRT file."""
    cues = [
        f"{number}\n{times}\n[{_emotion(one)}] {_one_line(one.text)}".rstrip()
        for number, (times, one) in enumerate(_cues(video, ","), 1)
    ]
    return "\n\n".join(cues) + "\n"


def _cues(video: VideoAnalysis, comma: str) -> Iterator[tuple[str, Utterance]]:
    for one in video.utterances:
        end = max(one.end_time, one.start_time + _MIN_CUE_S)  # a cue may not be empty
        yield f"{_time(one.start_time, comma)} --> {_time(end, comma)}", one


def _vtt_text(one: Utterance) -> str:
    label = one.emotions.top.label
    text = _one_line(one.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<c.{label}>[{_emotion(one)}]</c> {text}".rstrip()


def _emotion(one: Utterance) -> str:
    return f"{one.emotions.top.label} {one.emotions.top.confidence:.0%}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("-->", "→")  # an arrow would end the cue


def _time(seconds: float, comma: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{comma}{milliseconds:03}"

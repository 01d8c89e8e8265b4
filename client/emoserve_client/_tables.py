"""Results for people, as rich tables. rich is loaded only when something is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.box import Box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from emoserve_client._results import (
    MODALITIES,
    EmotionAnalysis,
    FaceAnalysis,
    Modality,
    Result,
    Score,
    Scores,
    SpeechAnalysis,
    Summary,
    TextAnalysis,
    Utterance,
    VideoAnalysis,
)

# Okabe and Ito's palette (2008), told apart by colour-blind readers; the label stands beside it.
COLOURS = {
    "anger": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "joy": "#E69F00",
    "neutral": "#999999",
    "sadness": "#0072B2",
    "surprise": "#56B4E9",
    "negative": "#D55E00",
    "positive": "#0072B2",
}
# Nothing but a line under the head, and one between the rows and their sum.
_RULES = Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
_BAR = "▏▎▍▌▋▊▉█"
_BAR_CELLS = 12
_WIDE_CELLS = 110
_SHORT = ("time", "emotion", "sentiment")


def renderable(result: Result) -> RenderableType:
    """The result as a table; whatever has none of its own as plain rows of fields."""
    if isinstance(result, VideoAnalysis):
        return VideoTable(result)
    if isinstance(result, FaceAnalysis):
        return face_table(result)
    if isinstance(result, SpeechAnalysis):
        return speech_table(result)
    if isinstance(result, EmotionAnalysis):
        return fused_table(result)
    if isinstance(result, TextAnalysis):
        return Group(_bars("emotion", result.emotions), _bars("sentiment", result.sentiments))
    return fields_table(result)


class VideoTable:
    """One line an utterance, the whole clip below; the words beside it, or under it if narrow."""

    def __init__(self, video: VideoAnalysis) -> None:
        self.video = video

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WIDE_CELLS
        table = _table("time", "emotion", "sentiment", *MODALITIES, *(["words"] if wide else []))
        for one in self.video.utterances:
            words = [one.text] if wide else []
            table.add_row(*_utterance_cells(one), *words)
        table.add_section()
        table.add_row(*_summary_cells(self.video.summary))
        yield table
        if not wide:
            for one in self.video.utterances:
                yield Text.assemble((f"{clock(one.start_time)}  ", "dim"), one.text or "-")


def face_table(picture: FaceAnalysis) -> RenderableType:
    """One line a face."""
    size = f"{picture.width} x {picture.height} pixels"
    if not picture.faces:
        return Text(f"no face in {size}")
    table = _table("face", "emotion", "next", "box")
    for number, one in enumerate(picture.faces, 1):
        box = ", ".join(f"{edge:.0f}" for edge in one.box)
        table.add_row(str(number), _best(one.emotions), _share(one.emotions[1]), box)
    table.caption = size
    return table


def speech_table(sound: SpeechAnalysis) -> RenderableType:
    """One line a window, the whole recording below."""
    table = _table("time", "emotion", "next")
    for one in sound.windows:
        times = f"{clock(one.start_time)} - {clock(one.end_time)}"
        table.add_row(times, _best(one.emotions), _share(one.emotions[1]))
    table.add_section()
    if not sound.emotions:
        return Text(f"no speech in {sound.duration:.1f} s")
    found = f"{sound.duration:.1f} s"
    table.add_row(Text(found, style="bold"), _best(sound.emotions), _share(sound.emotions[1]))
    return table


def fused_table(moment: EmotionAnalysis) -> RenderableType:
    """The fused answer, then a line a modality."""
    table = _table("modality", "emotion", "weight")
    for name in MODALITIES:
        one = moment.modalities[name]
        weight = f"{one.weight:.0%}" if one.present else "-"
        table.add_row(name, _modality(one), weight)
    return Group(_bars("emotion", moment.emotions), _bars("sentiment", moment.sentiments), table)


def fields_table(result: Result) -> Table:
    """One line a field."""
    table = _table("", "")
    for name, value in result.to_dict().items():
        table.add_row(name, _field(value))
    return table


def clock(seconds: float) -> str:
    """`1:02.5` for 62.5 seconds."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _utterance_cells(one: Utterance) -> Iterable[RenderableType]:
    yield f"{clock(one.start_time)}–{clock(one.end_time)}"
    yield _best(one.emotions)
    yield _best(one.sentiments)
    for name in MODALITIES:
        yield _modality(one.modalities[name])


def _summary_cells(summary: Summary) -> Iterable[RenderableType]:
    yield Text(f"all {summary.duration:.1f} s", style="bold")
    yield _best(summary.emotions)
    yield _best(summary.sentiments)
    for name in MODALITIES:
        yield Text(f"{summary.modalities[name]} of {summary.utterances}", style="dim")


def _best(scores: Scores) -> Text:
    return Text(_share(scores.top), style=COLOURS.get(scores.top.label, ""))


def _share(score: Score) -> str:
    return f"{score.label} {score.confidence:.0%}"


def _modality(one: Modality) -> Text:
    if not one.present or not one.emotions:
        return Text(one.reason or "-", style="dim")
    return _best(one.emotions)


def _bars(title: str, scores: Scores) -> Table:
    """A bar for each class."""
    table = Table.grid(padding=(0, 1))
    for number, score in enumerate(scores):
        filled = score.confidence * _BAR_CELLS
        part = _BAR[int(filled % 1 * 8)] if filled % 1 else ""
        bar = Text("█" * int(filled) + part, style=COLOURS.get(score.label, ""))
        head = Text(title if number == 0 else "", style="dim")
        table.add_row(head, score.label, f"{score.confidence:.0%}", bar)
    return table


def _field(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_field(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_field, value))
    return str(value)


def _table(*columns: str) -> Table:
    table = Table(
        box=_RULES,
        show_edge=False,
        pad_edge=False,
        padding=0,
        header_style="dim",
        border_style="dim",
        show_header=any(columns),
    )
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in _SHORT)
    return table

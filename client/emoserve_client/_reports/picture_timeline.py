"""A clip or a recording as a timeline: what was felt when, and what each modality said.

Each utterance is a column from its start to its end, filled with its seven probabilities in an
order that never changes, so that the eye follows one colour through the clip.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from emoserve_client._reports import palette
from emoserve_client._results import MODALITIES, Scores, SpeechAnalysis, VideoAnalysis

WIDTH_IN, LEGEND_IN, LEFT_IN, MARGIN_IN = 12.0, 2.35, 1.0, 0.3
_CHARACTER_IN = 0.078  # of 9 point text
_NAMES = {"face": "face", "speech": "voice", "text": "words"}


@dataclass(frozen=True)
class Column:
    """One stretch of time: its probabilities, or the reason why there are none."""

    start: float
    end: float
    scores: Scores
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the timeline; `height` in inches."""

    name: str
    columns: Sequence[Column]
    height: float
    colours: Mapping[str, str]


def video(analysis: VideoAnalysis, title: str) -> Any:
    """The figure of a clip."""
    utterances = analysis.utterances
    fused = [Column(u.start_time, u.end_time, u.emotions) for u in utterances]
    rows = [Row("together", fused, 2.1, palette.EMOTIONS)]
    for name in MODALITIES:
        said = [(u, u.modalities[name]) for u in utterances]
        columns = [
            Column(u.start_time, u.end_time, one.emotions, one.reason or "") for u, one in said
        ]
        rows.append(Row(_NAMES[name], columns, 0.85, palette.EMOTIONS))
    sentiments = [Column(u.start_time, u.end_time, u.sentiments) for u in utterances]
    rows.append(Row("sentiment", sentiments, 0.42, palette.SENTIMENTS))
    summary = analysis.summary
    words = [(u.start_time, u.end_time, u.text) for u in utterances]
    found = f"{len(utterances)} utterance{'s' if len(utterances) != 1 else ''}"
    head = f"{summary.duration:.1f} s, {found}"
    return _draw(rows, summary.duration, (title, head), summary.emotions, summary.sentiments, words)


def speech(analysis: SpeechAnalysis, title: str) -> Any:
    """The figure of a recording."""
    windows = analysis.windows
    columns = [Column(one.start_time, one.end_time, one.emotions) for one in windows]
    if not columns:
        columns = [Column(0.0, analysis.duration, analysis.emotions, "no speech")]
    head = f"{analysis.duration:.1f} s" + ("" if analysis.speech else ", no speech found")
    rows = [Row("voice", columns, 2.1, palette.EMOTIONS)]
    return _draw(rows, analysis.duration, (title, head), analysis.emotions, Scores(), [])


def _draw(
    rows: Sequence[Row],
    duration: float,
    titles: tuple[str, str],
    emotions: Scores,
    sentiments: Scores,
    words: Sequence[tuple[float, float, str]],
) -> Any:
    plot_in = WIDTH_IN - LEFT_IN - LEGEND_IN - MARGIN_IN
    lines = _wrapped(words, duration, plot_in)
    words_in = 0.16 * max((len(one) for *_, one in lines), default=0) + (0.12 if lines else 0)
    gap, top, bottom = 0.12, 0.85, 0.5
    height = top + sum(row.height + gap for row in rows) + words_in + bottom
    height = max(height, top + 0.3 * (len(emotions) + len(sentiments) + 2) + 0.4)
    figure = Figure(figsize=(WIDTH_IN, height))
    _headline(figure, titles, height)
    y = height - top
    axes = None
    for row in rows:
        y -= row.height
        box = (LEFT_IN / WIDTH_IN, y / height, plot_in / WIDTH_IN, row.height / height)
        axes = figure.add_axes(box, sharex=axes)
        _row(axes, row, duration, plot_in)
        y -= gap
    assert axes is not None
    if lines:
        _words(figure, lines, duration, plot_in, (y, height))
    _time_axis(axes, duration, words_in if lines else 0.0, gap)
    _legend(figure, emotions, sentiments, height, top)
    return figure


def _headline(figure: Figure, titles: tuple[str, str], height: float) -> None:
    title, head = titles
    x = LEFT_IN / WIDTH_IN
    figure.text(x, 1 - 0.34 / height, title, size=15, weight="bold", color=palette.INK, va="center")
    figure.text(x, 1 - 0.62 / height, head, size=10, color=palette.FAINT_INK, va="center")


def _row(axes: Any, row: Row, duration: float, plot_in: float) -> None:
    axes.set_xlim(0, max(duration, 0.1))
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.axhline(0, color="#DDDDDD", linewidth=0.8, zorder=0)
    axes.set_ylabel(row.name, rotation=0, ha="right", va="center", labelpad=10, size=10)
    for column in row.columns:
        width_in = (column.end - column.start) / max(duration, 0.1) * plot_in
        if column.scores:
            _stack(axes, row, column, width_in)
        else:
            _absence(axes, column, width_in)


def _stack(axes: Any, row: Row, column: Column, width_in: float) -> None:
    """One column of probabilities; its strongest class by name where that fits."""
    middle, below = (column.start + column.end) / 2, 0.0
    for label, colour in row.colours.items():
        share = column.scores.of(label)
        axes.bar(
            middle, share, column.end - column.start, below, color=colour, edgecolor="white",
            linewidth=0.6,
        )  # fmt: skip
        if label == column.scores.top.label:
            _name(axes, row, (middle, below + share / 2), (label, share), width_in)
        below += share


def _name(
    axes: Any, row: Row, at: tuple[float, float], said: tuple[str, float], width_in: float
) -> None:
    label, share = said
    text = f"{label}\n{share:.0%}" if row.height > 1.5 else f"{label} {share:.0%}"
    room_in = share * row.height
    lines = text.count("\n") + 1
    for shown, needed in ((text, lines), (label, 1)):
        widest = max(map(len, shown.split("\n"))) * _CHARACTER_IN
        if widest < width_in - 0.06 and needed * 0.15 < room_in:
            _write(axes, row, at, (label, shown), 0)
            return
    if len(label) * _CHARACTER_IN < room_in and width_in > 0.17:
        _write(axes, row, at, (label, label), 90)


def _write(
    axes: Any, row: Row, at: tuple[float, float], said: tuple[str, str], rotation: int
) -> None:
    label, shown = said
    colour = palette.text_colour(row.colours[label])
    axes.text(*at, shown, ha="center", va="center", size=9, color=colour, rotation=rotation)


def _absence(axes: Any, column: Column, width_in: float) -> None:
    axes.bar(
        (column.start + column.end) / 2, 1, column.end - column.start,
        color=palette.ABSENT, edgecolor="#DDDDDD", hatch="///", linewidth=0,
    )  # fmt: skip
    if len(column.note) * _CHARACTER_IN < width_in - 0.06:
        axes.text(
            (column.start + column.end) / 2, 0.5, column.note, ha="center", va="center", size=9,
            color=palette.FAINT_INK, bbox={"facecolor": palette.ABSENT, "linewidth": 0, "pad": 1.5},
        )  # fmt: skip


def _wrapped(
    words: Sequence[tuple[float, float, str]], duration: float, plot_in: float
) -> list[tuple[float, float, list[str]]]:
    """The words of each utterance in lines that fit under it; none when none fit."""
    found = []
    for start, end, text in words:
        room = int((end - start) / max(duration, 0.1) * plot_in / _CHARACTER_IN)
        if text and room >= 8:
            lines = textwrap.wrap(text, room)
            if len(lines) > 4:
                lines = [*lines[:3], textwrap.shorten(" ".join(lines[3:]), room, placeholder="…")]
            found.append((start, end, lines))
    return found


def _words(
    figure: Figure,
    lines: Sequence[tuple[float, float, list[str]]],
    duration: float,
    plot_in: float,
    place: tuple[float, float],
) -> None:
    y, height = place
    for start, end, one in lines:
        x_in = LEFT_IN + (start + end) / 2 / max(duration, 0.1) * plot_in
        figure.text(
            x_in / WIDTH_IN, (y + 0.04) / height, "\n".join(one), ha="center", va="top", size=9,
            style="italic", color=palette.INK, linespacing=1.25,
        )  # fmt: skip


def _time_axis(axes: Any, duration: float, words_in: float, gap: float) -> None:
    axes.tick_params(bottom=True, labelbottom=True, color="#BBBBBB", labelcolor=palette.FAINT_INK)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.spines["bottom"].set_position(("outward", (words_in + gap / 2) * 72))
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds, duration)))


def _clock(seconds: float, duration: float) -> str:
    if duration < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _legend(
    figure: Figure, emotions: Scores, sentiments: Scores, height: float, top: float
) -> None:
    """The whole clip at the right: each class, its colour, its share."""
    x, y = (WIDTH_IN - LEGEND_IN) / WIDTH_IN, height - top - 0.08
    for title, scores, colours in (
        ("all of it", emotions, palette.EMOTIONS),
        ("sentiment", sentiments, palette.SENTIMENTS),
    ):
        if not scores:
            continue
        figure.text(x, y / height, title, size=10, color=palette.FAINT_INK, va="center")
        for score in scores:
            y -= 0.27
            _legend_line(figure, (x, y, height), score.label, score.confidence, colours)
        y -= 0.42


def _legend_line(
    figure: Figure,
    place: tuple[float, float, float],
    label: str,
    share: float,
    colours: Mapping[str, str],
) -> None:
    x, y, height = place
    full_in, thick_in = 0.85, 0.17
    for length, colour in ((full_in, "#F3F3F3"), (full_in * share, colours[label])):
        axes = figure.add_axes(
            (x, (y - thick_in / 2) / height, max(length, 0.01) / WIDTH_IN, thick_in / height)
        )
        axes.set_facecolor(colour)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
    at = x + (full_in + 0.08) / WIDTH_IN
    figure.text(at, y / height, f"{label} {share:.0%}", size=9.5, va="center", color=palette.INK)

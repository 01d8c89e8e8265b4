"""All analyses as one page that needs nothing else: no script, no font, no picture from elsewhere.

Each timeline is SVG, drawn in a unit square and stretched; each part says on hover what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from emoserve_client._frames import rows
from emoserve_client._reports import palette
from emoserve_client._reports.records import Record
from emoserve_client._results import (
    MODALITIES,
    Modality,
    Result,
    Scores,
    SpeechAnalysis,
    Utterance,
    VideoAnalysis,
)
from emoserve_client._tables import clock
from emoserve_client._version import __version__

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #666; --rule: #ddd; --absent: #eee; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eee; --faint: #aaa; --rule: #444; --absent: #333; }
  body { background: #181818; }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); max-width: 72rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .2rem; }
p.facts, td.absent, th, footer { color: var(--faint); }
.lane { display: grid; grid-template-columns: 6rem 1fr; align-items: center; margin: .3rem 0; }
.lane svg { width: 100%; display: block; background: none; }
.legend span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
.legend i { display: inline-block; width: .9rem; height: .9rem; margin-right: .35rem;
            vertical-align: -.1rem; }
table { border-collapse: collapse; width: 100%; margin-top: .8rem; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--rule);
         vertical-align: top; font-weight: normal; }
p.error { color: #D55E00; }
"""


def render(records: Sequence[Record]) -> str:
    """The page as HTML."""
    title = records[0].file if len(records) == 1 else f"{len(records)} files"
    body = "\n".join(_section(record) for record in records)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>emoserve: {escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>emoserve: {escape(title)}</h1>\n{_legend()}\n{body}\n"
        f"<footer><p>emoserve {__version__}</p></footer>\n</body></html>\n"
    )


def _legend() -> str:
    items = "".join(
        f"<span><i style='background:{colour}'></i>{label}</span>"
        for label, colour in palette.EMOTIONS.items()
    )
    return f"<p class='legend'>{items}</p>"


def _section(record: Record) -> str:
    head = f"<h2>{escape(record.file)}</h2>"
    analysis = record.analysis
    if analysis is None:
        message = record.error.message if record.error else ""
        return f"{head}\n<p class='error'>{escape(message)}</p>"
    parts = [head]
    if isinstance(analysis, VideoAnalysis):
        parts += _video(analysis)
    elif isinstance(analysis, SpeechAnalysis):
        parts.append(_facts(f"{analysis.duration:.1f} s", analysis.emotions))
        times = [(one.start_time, one.end_time, one.emotions) for one in analysis.windows]
        parts.append(_lane("voice", times, analysis.duration, palette.EMOTIONS, 90))
        parts.append(_plain_table(analysis))
    else:
        parts.append(_plain_table(analysis))
    models = ", ".join(f"{name} {version}" for name, version in analysis.models.items())
    return "\n".join([*parts, f"<p class='facts'>{escape(models)}</p>"])


def _video(video: VideoAnalysis) -> Iterator[str]:
    summary = video.summary
    yield _facts(f"{summary.duration:.1f} s, {summary.utterances} utterances", summary.emotions)
    fused = [(u.start_time, u.end_time, u.emotions) for u in video.utterances]
    yield _lane("together", fused, summary.duration, palette.EMOTIONS, 120)
    for name in MODALITIES:
        said = [(u.start_time, u.end_time, u.modalities[name].emotions) for u in video.utterances]
        yield _lane(name, said, summary.duration, palette.EMOTIONS, 44)
    sentiments = [(u.start_time, u.end_time, u.sentiments) for u in video.utterances]
    yield _lane("sentiment", sentiments, summary.duration, palette.SENTIMENTS, 22)
    yield _utterance_table(video.utterances)


def _facts(text: str, emotions: Scores) -> str:
    best = ", ".join(f"{one.label} {one.confidence:.0%}" for one in emotions[:3])
    return f"<p class='facts'>{text}: {best}</p>"


def _lane(
    name: str,
    columns: Sequence[tuple[float, float, Scores]],
    duration: float,
    colours: Mapping[str, str],
    height: int,
) -> str:
    """One line of the timeline."""
    whole = max(duration, 0.001)
    drawn = "".join(
        _column(start / whole, (end - start) / whole, scores, colours, f"{clock(start)} ")
        for start, end, scores in columns
    )
    return (
        f"<div class='lane'><span>{name}</span><svg viewBox='0 0 1 1' height='{height}' "
        f"preserveAspectRatio='none' role='img' aria-label='{name}'>{drawn}</svg></div>"
    )


def _column(x: float, width: float, scores: Scores, colours: Mapping[str, str], when: str) -> str:
    if not scores:
        return f"<rect x='{x:.5f}' y='0' width='{width:.5f}' height='1' fill='var(--absent)'/>"
    below, pieces = 1.0, []
    for label, colour in colours.items():
        share = scores.of(label)
        below -= share
        pieces.append(
            f"<rect x='{x:.5f}' y='{below:.4f}' width='{width * 0.995:.5f}' height='{share:.4f}' "
            f"fill='{colour}'><title>{when}{label} {share:.0%}</title></rect>"
        )
    return "".join(pieces)


def _utterance_table(utterances: Sequence[Utterance]) -> str:
    head = _cells("th", ["time", "emotion", "sentiment", *MODALITIES, "words"])
    body = "".join(
        "<tr>"
        + _cells("td", [f"{clock(u.start_time)}–{clock(u.end_time)}", str(u.emotions.top)])
        + _cells("td", [str(u.sentiments.top)])
        + "".join(_said(u.modalities[name]) for name in MODALITIES)
        + _cells("td", [u.text])
        + "</tr>"
        for u in utterances
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _said(one: Modality) -> str:
    if one.present and one.emotions:
        return f"<td>{one.emotions.top.label}, weight {one.weight:.2f}</td>"
    return f"<td class='absent'>{escape(one.reason or '-')}</td>"


def _plain_table(result: Result) -> str:
    table = list(rows(result))
    if not table:
        return "<p class='facts'>nothing was found</p>"
    head = _cells("th", [name.replace("_", " ") for name in table[0]])
    body = "".join(
        "<tr>" + _cells("td", [_shown(value) for value in row.values()]) + "</tr>" for row in table
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _cells(tag: str, values: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)

"""The live dashboard: how it is now, what each modality says, and how it has been."""

from __future__ import annotations

from collections import Counter, deque

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from emoserve_client._results import EMOTIONS, MODALITIES, EmotionAnalysis
from emoserve_client._tables import COLOURS, clock

_SMOOTHING = 0.5  # share of the new answer in what the bars show
_BAR_CELLS = 28
_HISTORY = 600


class Board:
    """Takes answers, shows itself."""

    def __init__(self, source: str, url: str) -> None:
        self._source, self._url = source, url
        self._shares = dict.fromkeys(EMOTIONS, 1 / len(EMOTIONS))
        self._history: deque[str] = deque(maxlen=_HISTORY)
        self._latest: EmotionAnalysis | None = None
        self._time_s = self._took_s = 0.0
        self._note = "waiting for the first answer"
        self.counts: Counter[str] = Counter()

    def answered(self, time_s: float, answer: EmotionAnalysis, took_s: float) -> None:
        """Takes an answer about the moment `time_s`, which took so long."""
        self._time_s, self._took_s, self._latest, self._note = time_s, took_s, answer, ""
        for score in answer.emotions:
            old = self._shares[score.label]
            self._shares[score.label] = old + _SMOOTHING * (score.confidence - old)
        self._history.append(answer.emotions.top.label)
        self.counts[answer.emotions.top.label] += 1

    def missed(self, time_s: float, why: str) -> None:
        """Takes that there is no answer about the moment `time_s`."""
        self._time_s, self._note, self._latest = time_s, why, None
        self._history.append("")

    def line(self) -> str:
        """The latest moment in one line, for where there is no terminal."""
        if self._latest is None:
            return f"{clock(self._time_s)}  {self._note}"
        counted = ", ".join(self._latest.counted)
        return f"{clock(self._time_s)}  {self._latest.emotions.top}  ({counted})"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state = self._note or f"{self._took_s * 1000:.0f} ms an answer"
        yield Text.assemble(
            (f"{self._source}  ", "bold"), f"{clock(self._time_s)}  ", (state, "dim")
        )
        yield ""
        yield self._bars()
        yield ""
        yield self._modalities()
        yield ""
        yield self._strip(options.max_width)
        yield Text(f"{self._url}   Ctrl-C ends", style="dim")

    def _bars(self) -> Table:
        table = Table.grid(padding=(0, 1))
        strongest = max(self._shares, key=lambda label: self._shares[label])
        for label, share in self._shares.items():
            filled = round(share * _BAR_CELLS)
            bar = Text("█" * filled, style=COLOURS[label])
            bar.append("·" * (_BAR_CELLS - filled), style="dim")
            table.add_row(
                Text(label, style="bold" if label == strongest else ""), bar, f"{share:4.0%}"
            )
        return table

    def _modalities(self) -> Table:
        table = Table.grid(padding=(0, 3))
        cells = []
        for name in MODALITIES[:2]:
            said = self._latest.modalities[name] if self._latest else None
            if said is None or not said.present:
                cells.append(Text(f"{name}: {said.reason if said else '-'}", style="dim"))
            else:
                top = said.emotions.top
                text = f"{name}: {top.label} {top.confidence:.0%}, weight {said.weight:.0%}"
                cells.append(Text(text, style=COLOURS[top.label]))
        table.add_row(*cells)
        return table

    def _strip(self, width: int) -> Text:
        """One cell a moment, the latest at the right, in the colour of its emotion."""
        strip = Text()
        for label in list(self._history)[-width:]:
            strip.append("█" if label else "·", style=COLOURS.get(label, "dim"))
        return strip

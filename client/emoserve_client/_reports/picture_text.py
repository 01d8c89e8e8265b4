"""A text as a picture: a bar for each class."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from emoserve_client._reports import palette
from emoserve_client._reports.picture_bars import bars
from emoserve_client._results import TextAnalysis


def text(analysis: TextAnalysis, title: str) -> Any:
    """The figure of a text."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    bars(left, analysis.emotions, palette.EMOTIONS, "emotion")
    bars(right, analysis.sentiments, palette.SENTIMENTS, "sentiment")
    figure.suptitle(title, size=14, weight="bold", ha="left", x=0.01, color=palette.INK)
    return figure

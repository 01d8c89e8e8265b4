"""A class a line: the bars that face and text pictures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emoserve_client._reports import palette
from emoserve_client._results import Scores


def bars(axes: Any, scores: Scores, colours: Mapping[str, str], title: str) -> None:
    """Draws one horizontal bar for each class, best on top, its share beside it."""
    places = range(len(scores), 0, -1)
    shares = [score.confidence for score in scores]
    axes.barh(places, shares, 0.72, color=[colours[score.label] for score in scores])
    for place, share in zip(places, shares, strict=True):
        axes.text(share + 0.015, place, f"{share:.0%}", va="center", size=9, color=palette.INK)
    axes.set_yticks(list(places), [score.label for score in scores], size=10, color=palette.INK)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.tick_params(left=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, loc="left", size=11, color=palette.FAINT_INK)

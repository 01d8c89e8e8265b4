"""A picture's faces as a picture: the boxes on it, and a bar for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emoserve_client._reports import palette
from emoserve_client._reports.picture_bars import bars
from emoserve_client._results import Face, FaceAnalysis

_SHOWN_FACES = 6


def face(analysis: FaceAnalysis, path: Path) -> Any:
    """The figure of a picture."""
    largest = sorted(analysis.faces, key=_area, reverse=True)[:_SHOWN_FACES]
    shown = [one for one in analysis.faces if one in largest]
    rows = max(1, (len(shown) + 1) // 2)
    figure = Figure(figsize=(13, max(4.2, 2.6 * rows)), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    left, right = halves
    _boxes(left.subplots(), analysis, path)
    grid = np.atleast_1d(right.subplots(rows, 2 if len(shown) > 1 else 1)).reshape(-1)
    numbers = {id(one): number for number, one in enumerate(analysis.faces, 1)}
    for axes, one in zip(grid, shown, strict=False):
        bars(axes, one.emotions, palette.EMOTIONS, f"face {numbers[id(one)]}")
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    count = len(analysis.faces)
    found = f"{count} face{'' if count == 1 else 's'}"
    more = f", the {len(shown)} largest at the right" if count > len(shown) else ""
    figure.suptitle(
        f"{path.name}: {found}{more}", size=14, weight="bold", ha="left", x=0.01, color=palette.INK
    )
    return figure


def _area(one: Face) -> float:
    left, top, right, bottom = one.box
    return (right - left) * (bottom - top)


def _boxes(axes: Any, analysis: FaceAnalysis, path: Path) -> None:
    try:
        axes.imshow(matplotlib.image.imread(path))
    except (OSError, ValueError, SyntaxError):  # a format that matplotlib cannot read
        axes.imshow(np.full((analysis.height, analysis.width, 3), 238, np.uint8))
    axes.set_xlim(0, analysis.width)
    axes.set_ylim(analysis.height, 0)
    axes.set_axis_off()
    for number, one in enumerate(analysis.faces, 1):
        left, top, right, bottom = one.box
        colour = palette.EMOTIONS[one.emotions.top.label]
        for edge, width in (("white", 4.0), (colour, 2.4)):  # seen on any picture
            axes.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=edge,
                          linewidth=width)
            )  # fmt: skip
        axes.text(
            left, top, f" {number} {one.emotions.top.label} ", va="bottom", size=9,
            color=palette.text_colour(colour),
            bbox={"facecolor": colour, "edgecolor": "white", "pad": 1.5},
        )  # fmt: skip

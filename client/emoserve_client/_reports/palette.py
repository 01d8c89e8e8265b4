"""Colours that colour-blind readers tell apart, the same in tables, pictures and pages.

Sources: M. Okabe, K. Ito, «Color Universal Design» (2008) for emotions; ColorBrewer's PuOr for
sentiments, whose two ends stay apart in every common colour blindness.
"""

from __future__ import annotations

EMOTIONS = {
    "joy": "#E69F00",
    "surprise": "#56B4E9",
    "neutral": "#BFBFBF",
    "fear": "#CC79A7",
    "sadness": "#0072B2",
    "disgust": "#009E73",
    "anger": "#D55E00",
}
SENTIMENTS = {"positive": "#E08214", "neutral": "#D9D9D9", "negative": "#8073AC"}
INK, FAINT_INK, ABSENT = "#222222", "#777777", "#F3F3F3"


def text_colour(background: str) -> str:
    """Black or white, whichever contrasts more (WCAG 2.1, relative luminance)."""
    red, green, blue = (int(background[at : at + 2], 16) / 255 for at in (1, 3, 5))
    luminance = sum(
        weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for weight, part in ((0.2126, red), (0.7152, green), (0.0722, blue))
    )
    return "#FFFFFF" if luminance < 0.179 else "#000000"

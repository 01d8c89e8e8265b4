"""An analysis as a picture. matplotlib is asked for only here, and draws without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emoserve_client._reports.records import Record
from emoserve_client._results import (
    FaceAnalysis,
    SpeechAnalysis,
    TextAnalysis,
    VideoAnalysis,
)
from emoserve_client.errors import InputError

DPI = 150


def check() -> None:
    """Returns when pictures can be drawn.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as err:
        raise InputError(
            "a picture needs matplotlib: pip install 'emoserve[plot]'", reason="bad_option"
        ) from err


def draw(record: Record, path: Path) -> None:
    """Draws the record into `path`, a PNG, SVG or PDF by its suffix.

    Raises:
        InputError: the suffix is of no picture.
    """
    figure = _figure(record)
    try:
        figure.savefig(path, dpi=DPI, facecolor="white")
    except ValueError as err:
        raise InputError(f"cannot draw {path}: {err}", reason="bad_option") from err


def _figure(record: Record) -> Any:
    from emoserve_client._reports import picture_face, picture_text, picture_timeline

    analysis = record.analysis
    if isinstance(analysis, VideoAnalysis):
        return picture_timeline.video(analysis, Path(record.file).name)
    if isinstance(analysis, SpeechAnalysis):
        return picture_timeline.speech(analysis, Path(record.file).name)
    if isinstance(analysis, FaceAnalysis):
        return picture_face.face(analysis, Path(record.file))
    assert isinstance(analysis, TextAnalysis)
    return picture_text.text(analysis, Path(record.file).name)

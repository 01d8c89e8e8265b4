"""What callers send: the one place that states the distribution of pipelines, sizes and gaps.

There is no public trace of such traffic, so these are round numbers to argue with: mostly short
inputs, a few large ones, one request in six that fuses modalities, one in fifty a clip.
"""

from __future__ import annotations

PIPELINES = ("face", "speech", "text", "emotion", "video")
MIX = "mix"

# Share of each pipeline in the realistic mix.
SHARES = {"face": 0.32, "speech": 0.20, "text": 0.30, "emotion": 0.16, "video": 0.02}

# Share of each size within a pipeline; a size that the media lack gives its share to the others.
SIZES = {
    "face": {"tiny": 0.25, "photo": 0.60, "large": 0.15},
    "speech": {"short": 0.85, "long": 0.15},
    "text": {"short": 0.45, "sentence": 0.45, "long": 0.10},
    "emotion": {"moment": 1.0},
    "video": {"short": 0.85, "long": 0.15},
}

# Which modalities an `emotion` request brings; what is not named is missing.
SUBSETS = {
    ("face", "speech", "text"): 0.40,
    ("face", "speech"): 0.20,
    ("speech", "text"): 0.15,
    ("face", "text"): 0.10,
    ("face",): 0.05,
    ("speech",): 0.05,
    ("text",): 0.05,
}

# Where a size ends. A tiny picture is a cut-out face, a short sound or clip one utterance.
TINY_PIXELS = 96 * 96
PHOTO_PIXELS = 1_200_000
SHORT_SOUND_BYTES = 160_000
SHORT_CLIP_BYTES = 700_000
SHORT_TEXT_CHARACTERS = 25
SENTENCE_CHARACTERS = 100


def text_size(text: str) -> str:
    """Return the size of a text: `short`, `sentence` or `long`."""
    if len(text) <= SHORT_TEXT_CHARACTERS:
        return "short"
    return "sentence" if len(text) <= SENTENCE_CHARACTERS else "long"


def picture_size(pixels: int) -> str:
    """Return the size of a picture: `tiny`, `photo` or `large`."""
    if pixels <= TINY_PIXELS:
        return "tiny"
    return "photo" if pixels <= PHOTO_PIXELS else "large"


def sound_size(size_bytes: int) -> str:
    """Return the size of a sound file: `short` or `long`."""
    return "short" if size_bytes <= SHORT_SOUND_BYTES else "long"


def clip_size(size_bytes: int) -> str:
    """Return the size of a clip: `short` or `long`."""
    return "short" if size_bytes <= SHORT_CLIP_BYTES else "long"

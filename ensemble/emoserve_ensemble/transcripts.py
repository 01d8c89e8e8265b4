"""A transcript that the caller gives, shared out among the utterances that were heard."""

import re
from collections.abc import Sequence


def share_out(transcript: str, durations_s: Sequence[float]) -> list[str]:
    """Return one text per utterance: all words, in order, in proportion to the utterances' lengths.

    A break moves to the nearest end of a sentence where one is within a third of an utterance's
    share of words, since people pause there.
    """
    words = transcript.split()
    if not durations_s:
        return []
    total_s = sum(durations_s) or 1.0
    texts, done, elapsed_s = [], 0, 0.0
    for index, duration_s in enumerate(durations_s):
        elapsed_s += duration_s
        stop = len(words)
        if index < len(durations_s) - 1:
            ideal = round(len(words) * elapsed_s / total_s)
            stop = _sentence_end(words, ideal, len(words) * duration_s / total_s / 3)
        stop = max(stop, done)
        texts.append(" ".join(words[done:stop]))
        done = stop
    return texts


def _sentence_end(words: Sequence[str], ideal: int, reach: float) -> int:
    ends = [index + 1 for index, word in enumerate(words) if re.search(r"[.!?…][\"'”’)]*$", word)]
    near = [end for end in ends if abs(end - ideal) <= reach]
    return min(near, key=lambda end: abs(end - ideal)) if near else ideal

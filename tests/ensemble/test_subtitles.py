import numpy as np
import pytest

from emoserve_ensemble.errors import InputError
from emoserve_ensemble.subtitles import Cue, CueSegmenter, is_timed, read_cues

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> there,
{\\an8}friend.

2
00:01:00,5 --> 00:01:01,000
Bye &amp; thanks.
"""
VTT = """WEBVTT - a title

NOTE nothing

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Ann>Hello there, friend.</v>

01:00.500 --> 01:01.000
Bye &amp; thanks.
"""
CUES = [Cue(1.0, 2.5, "Hello there, friend."), Cue(60.5, 61.0, "Bye & thanks.")]


@pytest.mark.parametrize("text", [SRT, VTT, SRT.replace("\n", "\r\n")])
def test_both_formats_give_the_same_cues(text: str) -> None:
    assert is_timed(text)
    assert read_cues(text) == CUES


def test_a_plain_transcript_is_not_timed() -> None:
    assert not is_timed("He said 10:30 --> no, 11:00.\nFine.")


def test_cues_out_of_order_are_sorted() -> None:
    text = "00:05.000 --> 00:06.000\nb\n\n00:01.000 --> 00:02.000\na\n"
    assert [cue.text for cue in read_cues(text)] == ["a", "b"]


def test_what_cannot_be_used_says_why() -> None:
    with pytest.raises(InputError, match="ends before it starts"):
        read_cues("00:05.000 --> 00:01.000\nx\n")
    with pytest.raises(InputError, match="without any text"):
        read_cues("00:01.000 --> 00:05.000\n\n")


def test_sound_is_cut_where_the_cues_say_however_it_arrives() -> None:
    cues = [Cue(0.5, 1.0, "a"), Cue(1.5, 2.0, "b"), Cue(9.0, 9.5, "after the end")]
    samples = np.arange(48_000, dtype=np.float32)
    for piece in (480, 7_001, 48_000):
        segmenter = CueSegmenter(cues)
        found = [
            u
            for start in range(0, len(samples), piece)
            for u in segmenter.feed(samples[start:][:piece])
        ]
        found += segmenter.finish()
        assert [(u.start_s, u.end_s, len(u.samples)) for u in found] == [
            (0.5, 1.0, 8_000),
            (1.5, 2.0, 8_000),
            (9.0, 9.5, 0),
        ]
        assert found[1].samples[0] == 24_000

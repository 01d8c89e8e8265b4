"""The decoder in a process of its own gives what the one in this process gives, and may die."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.arrays import Pixels
from emoserve_ensemble.decoder import Decoder, DecoderProcess, LocalDecoder
from emoserve_ensemble.errors import CallerGoneError, InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Frame, Sampling, Sound

TONE = np.sin(np.arange(32_000) * 2 * np.pi * 440 / 16_000).astype(np.float32) * 0.5


@pytest.fixture
def decoder():
    process = DecoderProcess(stall_s=10)
    yield process
    process.close()


def heard(decoder: DecoderProcess, data: bytes) -> int:
    """Return how many samples the child decodes: `decode_sound` does without it for plain WAV."""
    with decoder.open(data, Limits()) as reader:
        return sum(len(event.samples) for event in reader.events() if isinstance(event, Sound))


def test_both_decoders_give_the_same_events(decoder, mp4) -> None:
    data = mp4(2.0, TONE)
    given = []
    for each in (LocalDecoder(), decoder):
        with each.open(data, Limits(), Sampling(2)) as reader:
            given.append((reader.info, list(reader.events())))
    (info, events), (other_info, other_events) = given
    assert info == other_info
    assert len(events) == len(other_events)
    for event, other in zip(events, other_events, strict=True):
        assert type(event) is type(other)
        if isinstance(event, Sound):
            assert event.start_s == other.start_s
            np.testing.assert_array_equal(event.samples, other.samples)
        elif isinstance(event, Frame):
            np.testing.assert_array_equal(event.pixels, other.pixels)


def test_errors_come_back_as_they_are_and_the_child_lives_on(decoder, wav) -> None:
    heard(decoder, wav(TONE))
    child = decoder._child.pid
    for data, reason in [
        (b"", "empty"),
        (b"text", "unsupported"),
        (b"RIFF0000WAVE", "undecodable"),
    ]:
        with pytest.raises(InputError) as caught:
            heard(decoder, data)
        assert caught.value.reason == reason
    assert heard(decoder, wav(TONE)) == 32_000
    assert decoder._child.pid == child


def test_a_crash_loses_one_request_only(decoder, mp4, wav) -> None:
    long = np.tile(TONE, 20)  # more than a socket holds: the child is still at work
    with decoder.open(mp4(40.0, long), Limits(), Sampling(2)) as reader:
        os.kill(decoder._child.pid, signal.SIGSEGV)
        with pytest.raises(InputError, match="crashed"):
            list(reader.events())
    assert heard(decoder, wav(TONE)) == 32_000


def test_a_hang_ends_at_the_bound(decoder, wav) -> None:
    heard(decoder, wav(TONE))
    os.kill(decoder._child.pid, signal.SIGSTOP)
    decoder._stall_s = 0.5  # now that the child has started, which takes longer
    with pytest.raises(InputError, match=r"gave nothing for 0\.5 s") as caught:
        heard(decoder, wav(TONE))
    assert caught.value.reason == "timeout"
    decoder._stall_s = 10
    assert heard(decoder, wav(TONE)) == 32_000


def test_a_caller_who_goes_away_stops_the_decoder(decoder, mp4) -> None:
    gone = False
    data = mp4(40.0, np.tile(TONE, 20))
    with decoder.open(data, Limits(), Sampling(2), lambda: gone) as reader:
        events = reader.events()
        next(events)
        os.kill(decoder._child.pid, signal.SIGSTOP)  # as one that works long on the next event
        gone = True
        with pytest.raises(CallerGoneError):
            list(events)
        assert not decoder._child.alive


def test_an_abandoned_clip_stops_the_work(decoder, mp4, wav) -> None:
    with decoder.open(mp4(2.0, TONE), Limits(), Sampling(2)) as reader:
        next(reader.events())
        child = decoder._child.pid
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{child}").exists():
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()
    assert heard(decoder, wav(TONE)) == 32_000


def pictures(decoder: Decoder, images: Sequence[bytes]) -> list[Pixels | InputError]:
    with decoder.ahead(images, Limits()) as decoded:
        return list(decoded)


def test_pictures_are_decoded_while_those_before_are_worked_on(decoder, png) -> None:
    drawn = np.random.default_rng(3).integers(0, 256, (4, 480, 640, 3), np.uint8)
    with decoder.ahead([png(pixels) for pixels in drawn], Limits()) as decoded:
        first = next(decoded)
        time.sleep(1.0)
        os.kill(decoder._child.pid, signal.SIGSTOP)
        np.testing.assert_array_equal([first, *decoded], drawn)
    os.kill(decoder._child.pid, signal.SIGCONT)


def test_pictures_that_nobody_takes_do_not_reach_the_next_caller(decoder, png) -> None:
    drawn = np.random.default_rng(4).integers(0, 256, (3, 64, 64, 3), np.uint8)
    images = [png(pixels) for pixels in drawn]
    with (
        contextlib.suppress(ZeroDivisionError),
        decoder.ahead(images, Limits()) as decoded,
    ):
        next(decoded)
        raise ZeroDivisionError
    np.testing.assert_array_equal(pictures(decoder, images[2:]), drawn[2:])


def test_both_decoders_give_the_same_pictures(decoder, png) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), np.uint8)
    for each in (LocalDecoder(), decoder):
        decoded = pictures(each, [png(pixels) for pixels in drawn])
        np.testing.assert_array_equal(decoded, drawn)


def test_pictures_outlive_the_memory_that_they_came_in(
    decoder, png, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (3, 64, 48, 3), np.uint8)
    wide = np.random.default_rng(2).integers(0, 256, (300, 400, 3), np.uint8)
    first = pictures(decoder, [png(drawn[0])])
    grown = pictures(decoder, [png(wide), png(drawn[1])])
    monkeypatch.setattr("emoserve_ensemble.decoder._KEPT_BYTES", 1000)
    again = pictures(decoder, [png(drawn[2])])
    assert decoder._child._shared is None
    last = pictures(decoder, [png(wide)])
    for found, wanted in zip(
        [*first, *grown, *again, *last], [drawn[0], wide, *drawn[1:], wide], strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_broken_picture_is_refused_and_the_child_lives_on(decoder, png) -> None:
    data = png(np.zeros((64, 64, 3), np.uint8))
    pictures(decoder, [data])
    child = decoder._child.pid
    images = [b"", data, b"GIF89a", data[:40], data[:60], data]
    for each in (LocalDecoder(), decoder):
        answers = pictures(each, images)
        reasons = [getattr(answer, "reason", "fine") for answer in answers]
        assert reasons == ["empty", "fine", "unsupported", "undecodable", "undecodable", "fine"]
    assert decoder._child.pid == child


def test_a_crash_loses_one_picture_only(decoder, png) -> None:
    shapes = [(64 + side, 64, 3) for side in range(70)]  # more than are handed over at once
    images = [png(np.zeros(shape, np.uint8)) for shape in shapes]
    pictures(decoder, images[:1])
    child = decoder._child.pid
    os.kill(child, signal.SIGSTOP)  # so that it is still at work when it dies
    threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
    lost, *rest = pictures(decoder, images)
    assert lost.message == "image: the decoder crashed on it"
    assert [picture.shape for picture in rest] == shapes[1:]

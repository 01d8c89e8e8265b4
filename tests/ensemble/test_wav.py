"""WAV files read without a decoder: as a decoder would, or not at all."""

import struct

import numpy as np
import pytest

from emoserve_ensemble.decoder import LocalDecoder, decode_sound
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Sound
from emoserve_ensemble.wav import plain_wav

SAMPLES = np.random.default_rng(0).integers(-32_768, 32_768, 20_001, np.int16)


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    declared = len(content) if size is None else size
    return name + struct.pack("<I", declared) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


def format_of(code: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16) -> bytes:
    width = channels * bits // 8
    header = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * width, width, bits)
    return chunk(b"fmt ", header)


SOUND = chunk(b"data", SAMPLES.tobytes())
PLAIN = riff(format_of(), SOUND)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        riff(format_of(), chunk(b"junk", b"odd"), SOUND, chunk(b"junk", b"behind")),
        riff(chunk(b"bext", bytes(602)), format_of(), SOUND),
        PLAIN + b"more than was declared",
    ],
)
def test_samples_are_those_of_the_decoder(data: bytes) -> None:
    found = plain_wav(data)
    assert found is not None
    with LocalDecoder().open(data, Limits()) as reader:
        events = [event.samples for event in reader.events() if isinstance(event, Sound)]
    np.testing.assert_array_equal(found, np.concatenate(events))
    np.testing.assert_array_equal(found, decode_sound(data, LocalDecoder(), Limits()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFX" + PLAIN[4:],
        PLAIN[:11],
        PLAIN[:30],
        PLAIN[:-1],  # cut off: FFmpeg takes what is there
        riff(SOUND, format_of()),
        riff(format_of(code=3, bits=32), SOUND),
        riff(format_of(channels=2), SOUND),
        riff(format_of(rate_hz=44_100), SOUND),
        riff(format_of(bits=8), SOUND),
        riff(format_of(), chunk(b"data", b"")),
        riff(format_of(), chunk(b"data", b"odd")),
        riff(format_of(), chunk(b"data", SAMPLES.tobytes(), size=2**32 - 1)),
        riff(*[chunk(b"junk", b"")] * 100, format_of(), SOUND),
    ],
)
def test_what_takes_a_decoder_is_left_to_it(data: bytes) -> None:
    assert plain_wav(data) is None


def test_limits_hold_without_a_decoder() -> None:
    for limits, reason in [
        (Limits(max_bytes=100), "too_large"),
        (Limits(max_duration_s=1), "too_long"),
    ]:
        with pytest.raises(InputError) as caught:
            decode_sound(PLAIN, LocalDecoder(), limits)
        assert caught.value.reason == reason

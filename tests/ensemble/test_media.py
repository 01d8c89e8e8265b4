import io
import struct

import av
import numpy as np
import pytest

from emoserve_ensemble.decoder import LocalDecoder
from emoserve_ensemble.decoder import decode_sound as decoded
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Frame, Sampling, Sound
from emoserve_ensemble.media_reader import SOUND_SAMPLES, MediaReader


def decode_sound(data: bytes, limits: Limits) -> np.ndarray:
    return decoded(data, LocalDecoder(), limits)


TONE = np.sin(np.arange(32_000) * 2 * np.pi * 440 / 16_000).astype(np.float32) * 0.5


def read(data: bytes, frame_rate_hz: float = 2.0, **limits: float):
    with MediaReader(data, Limits(**limits), Sampling(frame_rate_hz)) as reader:
        return reader.info, list(reader.events())


def test_sound_comes_back_as_it_was(wav) -> None:
    samples = decode_sound(wav(TONE), Limits())
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, TONE, atol=1e-4)


def test_plain_sound_is_only_scaled_and_comes_in_blocks(wav) -> None:
    _, events = read(wav(TONE))
    blocks = [event.samples for event in events]
    wanted = (TONE * 32767).astype(np.int16).astype(np.float32) / 32768
    np.testing.assert_array_equal(np.concatenate(blocks), wanted)
    assert all(len(block) >= SOUND_SAMPLES for block in blocks[:-1])
    starts_s = np.cumsum([0, *map(len, blocks[:-1])]) / 16_000
    assert [event.start_s for event in events] == pytest.approx(list(starts_s))


def test_a_title_that_is_not_utf_8_does_no_harm(wav) -> None:
    """Players of old wrote tags in whatever encoding their Windows had."""
    plain = wav(TONE)
    info = b"INFO" + b"INAM" + struct.pack("<I", 4) + b"\xc4\xff\xe9\0"
    start = plain.index(b"data")
    chunks = plain[8:start] + b"LIST" + struct.pack("<I", len(info)) + info + plain[start:]
    tagged = b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    with LocalDecoder().open(tagged, Limits()) as reader:
        samples = [event.samples for event in reader.events() if isinstance(event, Sound)]
    np.testing.assert_array_equal(np.concatenate(samples), decode_sound(plain, Limits()))


def test_any_rate_becomes_16_khz(wav) -> None:
    tone = np.sin(np.arange(96_000) * 2 * np.pi * 440 / 48_000).astype(np.float32) * 0.5
    samples = decode_sound(wav(tone, 48_000), Limits())
    assert len(samples) == pytest.approx(32_000, abs=40)
    spectrum = np.abs(np.fft.rfft(samples[4000:20_000]))
    assert np.argmax(spectrum) == 440


def test_frames_lie_on_the_sampling_grid(mp4) -> None:
    info, events = read(mp4(3.0))
    times = [event.time_s for event in events if isinstance(event, Frame)]
    assert info.has_pictures
    assert not info.has_sound
    assert times == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])


def test_sound_and_frames_of_one_clip(mp4) -> None:
    info, events = read(mp4(2.0, TONE))
    sound = np.concatenate([event.samples for event in events if isinstance(event, Sound)])
    assert info.has_sound
    assert info.has_pictures
    assert len(sound) / 16_000 == pytest.approx(2.0, abs=0.15)
    assert sum(isinstance(event, Frame) for event in events) == 4


def test_real_formats_decode_to_their_length(data) -> None:
    lengths_s = {
        "audio/gigindia_audioSample_1.wav": 47.55,
        "audio/ravdess_03-01-05-02-01-01-05_8k_mulaw.wav": 3.4,
        "audio/ravdess_03-01-05-02-01-01-05.opus": 3.41,
        "audio/sr_mono24bit_44100.wav": 2.74,
        "retalk_face1.mp4": 6.13,
        "grid_bbaf2n.mpg": 3.0,
    }
    for name, length_s in lengths_s.items():
        samples = decode_sound((data / "clips" / name).read_bytes(), Limits())
        assert len(samples) / 16_000 == pytest.approx(length_s, abs=0.05), name


def test_hevc_with_uneven_time_stamps(data) -> None:
    _, events = read((data / "clips" / "pyfeat_face_noface.mov").read_bytes())
    times = [event.time_s for event in events if isinstance(event, Frame)]
    assert len(times) == 13
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just text, renamed to mp4", "unsupported"),
        (b"RIFF0000WAVE", "undecodable"),
    ],
)
def test_what_is_no_media_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read(data)
    assert caught.value.reason == reason


def test_a_file_without_its_index_is_named_as_cut_off(mp4) -> None:
    whole = mp4(2.0)
    with pytest.raises(InputError, match=r"undecodable.*cut off"):
        read(whole[: whole.index(b"moov") - 10])


def test_a_truncated_stream_gives_what_decodes(data) -> None:
    whole = (data / "clips" / "grid_bbaf2n.mpg").read_bytes()
    _, events = read(whole[: len(whole) // 2])
    assert 1 <= sum(isinstance(event, Frame) for event in events) <= 4


def test_limits_hold_before_and_while_decoding(mp4, wav) -> None:
    for limits, reason in [
        ({"max_bytes": 100}, "too_large"),
        ({"max_pixels": 1000}, "too_large"),
        ({"max_duration_s": 1.0}, "too_long"),
        ({"max_frame_rate_hz": 5.0}, "too_large"),
        ({"max_streams": 1}, "too_large"),
    ]:
        with pytest.raises(InputError) as caught:
            read(mp4(2.0, TONE), **limits)
        assert caught.value.reason == reason, limits


def test_a_clip_without_sound_says_so_to_who_asks_for_sound(mp4) -> None:
    with pytest.raises(InputError, match="no sound stream"):
        decode_sound(mp4(1.0), Limits())


def test_not_a_number_in_float_sound_is_silence(data) -> None:
    raw = bytearray((data / "clips/audio/digital_silence_f32.wav").read_bytes())
    start = raw.index(b"data") + 8
    raw[start : start + 4000] = np.full(1000, np.nan, "<f4").tobytes()
    samples = decode_sound(bytes(raw), Limits())
    assert np.isfinite(samples).all()


def test_a_cut_between_two_samples_is_looked_at() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        video = container.add_stream("h264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(20):
            grey = 40 if index < 7 else 200  # the scene changes at 0.7 s
            pixels = np.full((48, 64, 3), grey, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    times = {}
    for scenes in (False, True):
        with MediaReader(buffer.getvalue(), Limits(), Sampling(1.0, scenes=scenes)) as reader:
            times[scenes] = [e.time_s for e in reader.events() if isinstance(e, Frame)]
    assert times == {
        False: pytest.approx([0.0, 1.0]),
        True: pytest.approx([0.0, 0.7, 1.0]),
    }

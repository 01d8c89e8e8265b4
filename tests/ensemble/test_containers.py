import pytest

from emoserve_ensemble.containers import container_format, demuxer
from emoserve_ensemble.errors import InputError

REAL = {
    "clips/retalk_face1.mp4": "mov",
    "clips/pyfeat_face_noface.mov": "mov",
    "clips/grid_bbaf2n.mpg": "mpeg",
    "clips/audio/sr_stereo16_44100.flac": "flac",
    "clips/audio/gigindia_audioSample_1.wav": "wav",
    "clips/audio/audiomentations_perfect_alley1.ogg": "ogg",
    "clips/audio/ravdess_03-01-05-02-01-01-05.opus": "ogg",
    "clips/audio/ravdess_03-01-05-02-01-01-05.mp3": "mp3",
    "clips/audio/ravdess_03-01-05-02-01-01-05.m4a": "mov",
}


@pytest.mark.parametrize(("path", "name"), REAL.items())
def test_real_files_are_known_by_content(data, path: str, name: str) -> None:
    assert container_format((data / path).read_bytes()[:512]) == name


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"RIFF\x00\x00\x00\x00AVI LIST", "avi"),
        (b"\x1aE\xdf\xa3" + bytes(8), "matroska"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"FORM\x00\x00\x00\x00AIFC", "aiff"),
        (b"G" + bytes(187) + b"G", "mpegts"),
    ],
)
def test_other_formats_are_known_by_their_first_bytes(start: bytes, name: str) -> None:
    assert container_format(start) == name


@pytest.mark.parametrize(
    "hostile",
    [
        b"#EXTM3U\nhttp://127.0.0.1/secret",
        b"ffconcat version 1.0\nfile /etc/passwd",
        b"<?xml version='1.0'?><MPD/>",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1",
        b"RIFF\x00\x00\x00\x00CDXA",
        b"plain text",
    ],
)
def test_playlists_and_text_are_refused(hostile: bytes) -> None:
    with pytest.raises(InputError, match="are accepted") as caught:
        demuxer(hostile, "media")
    assert caught.value.reason == "unsupported"


def test_no_bytes_are_named() -> None:
    with pytest.raises(InputError, match=r"\[empty\] audio"):
        demuxer(b"", "audio")

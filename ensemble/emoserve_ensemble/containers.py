"""Which demuxer reads a stranger's bytes, decided by content, never by name.

Only these are ever opened: FFmpeg also reads playlists, concat lists and network streams, which
could make the server read its own files or call out.
"""

from emoserve_ensemble.errors import InputError

ACCEPTED = (
    "MP4, MOV, M4A, Matroska, WebM, AVI, MPEG, MPEG-TS, FLV, ASF, WAV, FLAC, MP3, AAC, Ogg, AIFF, "
    "CAF, AU, AMR"
)

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"FLV\x01", "flv"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (_ASF, "asf"),
    (b"caff", "caf"),
    (b".snd", "au"),
    (b"#!AMR", "amr"),
)
_RIFF = {b"WAVE": "wav", b"AVI ": "avi"}
_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})
_TS_PACKET = 188


def container_format(data: bytes) -> str | None:
    """Return FFmpeg's demuxer name for the first bytes of a file, or None."""
    for start, name in _STARTS:
        if data.startswith(start):
            return name
    if data[:4] in (b"RIFF", b"RF64", b"RIFX"):
        return _RIFF.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if data[4:8] in _ISO_BOXES:
        return "mov"
    if data[:1] == b"G" and data[_TS_PACKET : _TS_PACKET + 1] in (b"G", b""):
        return "mpegts"
    return _mpeg_audio(data)


def _mpeg_audio(data: bytes) -> str | None:
    """Return `mp3` or `aac` for a bare elementary stream: sync bits, then the layer."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer = data[1] >> 1 & 0b11
    if layer == 0:
        return "aac" if data[1] & 0xF0 == 0xF0 else None
    return "mp3"


def demuxer(data: bytes, what: str) -> str:
    """Return FFmpeg's demuxer name.

    Raises:
        InputError: no bytes, or a format that is not accepted.
    """
    if not data:
        raise InputError("empty", f"{what}: no bytes; {ACCEPTED} are accepted")
    name = container_format(data)
    if name is None:
        raise InputError(
            "unsupported", f"{what}: starts with {data[:12]!r}; {ACCEPTED} are accepted"
        )
    return name

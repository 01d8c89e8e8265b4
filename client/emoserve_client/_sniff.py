"""What a file holds, by its first bytes: its name may lie."""

from __future__ import annotations

import codecs
from typing import Literal

Content = Literal["picture", "sound", "video", "text", "unknown"]
SNIFFED_BYTES = 4096

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_SOUNDS = (b"fLaC", b"ID3", b"OggS", b"FORM", b".snd", b"#!AMR", b"caff", b"MAC ", b"wvpk")
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
)
_RIFF: dict[bytes, Content] = {b"WAVE": "sound", b"AVI ": "video", b"WEBP": "picture"}
# Brands of ISO 14496-12 files that hold sound only, and those that hold one picture.
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
_PICTURE_BRANDS = (b"avif", b"heic", b"heix", b"mif1")
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TS_PACKET_BYTES = 188


def sniff(head: bytes) -> Content:
    """What the file that starts with `head` holds; the first 4 KiB are enough."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], "unknown")
    if head.startswith(_PICTURES):
        return "picture"
    if head.startswith(_SOUNDS) or _is_mp3(head):
        return "sound"
    if head.startswith(_VIDEOS) or _is_transport_stream(head):
        return "video"
    if head[4:8] == b"ftyp":
        return _by_brand(head[8:12])
    if head[4:8] in _QUICKTIME:
        return "video"
    return "text" if _is_text(head) else "unknown"


def _by_brand(brand: bytes) -> Content:
    if brand in _SOUND_BRANDS:
        return "sound"
    return "picture" if brand in _PICTURE_BRANDS else "video"


def _is_mp3(head: bytes) -> bool:
    """The sync word of an MPEG audio frame, layer not reserved (ISO 11172-3, 2.4.1.3); or ADTS."""
    return len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[2] & 0xF0 != 0xF0


def _is_transport_stream(head: bytes) -> bool:
    starts = head[: 3 * _TS_PACKET_BYTES : _TS_PACKET_BYTES]
    return len(starts) == 3 and set(starts) == {0x47}


def _is_text(head: bytes) -> bool:
    if not head.strip() or b"\0" in head:
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head, final=len(head) < SNIFFED_BYTES)
    except UnicodeDecodeError:
        return False
    return all(one.isprintable() or one.isspace() for one in text)

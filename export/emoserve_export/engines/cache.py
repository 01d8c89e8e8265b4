"""Built engines, kept by all that their bytes depend on, so that nothing is built in vain."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from emoserve_export.engines.profiles import Profile

CACHE_VARIABLE = "EMOSERVE_CACHE"


def default_cache() -> Path:
    """Return `$EMOSERVE_CACHE/engines`, else `~/.cache/emoserve/engines`."""
    base = os.environ.get(CACHE_VARIABLE)
    return (Path(base) if base else Path.home() / ".cache" / "emoserve") / "engines"


@dataclass(frozen=True)
class EngineCache:
    """Engines and timings for one TensorRT version and one kind of GPU."""

    folder: Path
    version: str
    capability: str

    @property
    def _own(self) -> Path:
        return self.folder / f"trt{self.version}-cc{self.capability}"

    @property
    def timings(self) -> Path:
        """The timing cache that builds share."""
        return self._own / "timings.bin"

    def plan(self, graph: bytes, profile: Profile) -> Path:
        """Return where the engine of a graph and a profile is, or will be."""
        digest = hashlib.sha256(graph + profile.key().encode()).hexdigest()
        return self._own / f"{digest}.plan"

    @staticmethod
    def read(path: Path) -> bytes | None:
        """Return a file's bytes, or None where it is not there yet."""
        return path.read_bytes() if path.is_file() else None

    @staticmethod
    def write(path: Path, data: bytes) -> None:
        """Write a file that appears whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(data)
        fresh.replace(path)

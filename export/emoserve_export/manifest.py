"""`manifest.json` of a model repository: what is published, from what, and how well it answers.

    {"format": 1,
     "files":    {path in the repository: SHA-256},
     "profile":  "cpu",
     "networks": {name: {"version": 2, "last_version": 2, "versions": {"1": {...}, "2": {...}}}}}

`emoserve serve` reads `format` and `files` and refuses to start over a changed file.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoserve_export.errors import RepositoryError

NAME = "manifest.json"
FORMAT = 1


@dataclass
class Manifest:
    """What a repository's manifest says. See the module's text for the layout."""

    files: dict[str, str] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    profile: str = "cpu"

    def record(self, network: str) -> dict[str, Any] | None:
        """Return what is known of a network's current version, or None."""
        entry = self.networks.get(network)
        return entry["versions"][str(entry["version"])] if entry else None

    def dump(self) -> str:
        """Return the JSON text, the same bytes for the same content."""
        content = {
            "format": FORMAT,
            "profile": self.profile,
            "files": self.files,
            "networks": self.networks,
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"


def read_manifest(repository: Path) -> Manifest:
    """Return a repository's manifest; an empty one where nothing was ever published.

    Raises:
        RepositoryError: it cannot be read, or is of a format that this version does not know.
    """
    path = repository / NAME
    if not path.is_file():
        return Manifest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise RepositoryError(f"{path} is damaged: {err}; delete it and export again") from err
    if content.get("format") != FORMAT:
        raise RepositoryError(f"{path} has format {content.get('format')}; known is {FORMAT}")
    return Manifest(content["files"], content["networks"], content.get("profile", "cpu"))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else hashlib.sha256(file.read()).hexdigest()
        )


def changed_files(repository: Path, manifest: Manifest, under: str = "") -> list[str]:
    """Return the listed files (of the folder `under`) that are missing or differ."""
    return [
        name
        for name, digest in manifest.files.items()
        if name.startswith(under)
        and (not (repository / name).is_file() or file_sha256(repository / name) != digest)
    ]

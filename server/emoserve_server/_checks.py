"""The single checks of `emoserve doctor`. Each looks at the real thing and names the remedy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from emoserve_server import manifest as _manifest
from emoserve_server._assembly import assemble, cache_folder
from emoserve_server._command import has_gpu
from emoserve_server._errors import MachineError, RepositoryError
from emoserve_server._ports import holder_of, is_free
from emoserve_server._repository import check_repository
from emoserve_server._wheel import (
    PYTHON_SUPPORTED,
    check_glibc,
    find_libpython,
    find_wheel,
    glibc_version,
    libpython_name,
    python_tag,
)

OK, WARN, FAIL = "ok", "warn", "fail"

_MIB = 1024 * 1024
_SHM_WANTED_MIB = 256  # 1 MiB for each of about 20 instances, and clips that pass between steps
_SHM_NEEDED_MIB = 64  # what Docker gives
_DISK_WANTED_MIB = 1024
_MEMORY_WANTED_MIB = 3072  # measured: 15 of the 18 models of the profile `cpu` took 1450
# What the models import inside Triton: package -> extra that brings it.
_MODEL_PACKAGES = ("onnxruntime", "cv2", "av", "tokenizers")


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, `ok`, `warn` or `fail`, what was found, what to do."""

    name: str
    status: str
    found: str
    remedy: str = ""


def python() -> Check:
    """Python 3.10 to 3.12, as the wheel's stub and our packages support."""
    low, high = PYTHON_SUPPORTED
    good = low <= sys.version_info[:2] <= high
    found = f"{sys.version.split()[0]} ({sys.executable})"
    return Check("Python", OK if good else FAIL, found, "" if good else "use Python 3.10 to 3.12")


def glibc() -> Check:
    """glibc 2.35 or newer."""
    version = glibc_version()
    found = "none" if version is None else f"{version[0]}.{version[1]}"
    try:
        check_glibc()
    except MachineError as error:
        return Check("glibc", FAIL, found, str(error))
    return Check("glibc", OK, found)


def wheel() -> Check:
    """The nvidia-pytriton wheel with a stub for this Python."""
    try:
        found = find_wheel()
    except MachineError as error:
        return Check("Triton's wheel", FAIL, "missing", str(error))
    return Check("Triton's wheel", OK, f"nvidia-pytriton {found.version}")


def stub() -> Check:
    """Every shared library of the Python stub, libpython among them, as the loader sees it."""
    name = "Python backend"
    try:
        find_libpython()
        assembly = assemble()
    except MachineError as error:
        return Check(name, FAIL, "cannot start", str(error))
    binary = assembly.backends / "python" / "triton_python_backend_stub"
    traced = subprocess.run(
        [str(binary)],
        env={**assembly.environment, "LD_TRACE_LOADED_OBJECTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    missing = re.findall(r"(\S+) => not found", traced.stdout)
    if missing or traced.returncode:
        found = f"{', '.join(missing)} not found" if missing else traced.stderr.strip()
        return Check(name, FAIL, found, "pip install --force-reinstall nvidia-pytriton==0.7.0")
    return Check(name, OK, f"stub for Python {python_tag()}, {libpython_name()}")


def triton() -> Check:
    """The tritonserver binary runs and lists its options."""
    try:
        assembly = assemble()
    except MachineError as error:
        return Check("tritonserver", FAIL, "does not run", str(error))
    return Check("tritonserver", OK, f"runs, knows {len(assembly.flags)} options")


def numpy() -> Check:
    """numpy below 2, as the Python backend of this Triton is built for."""
    version = _version("numpy")
    if version is None or int(version.split(".")[0]) >= 2:
        return Check("numpy", FAIL, version or "missing", "pip install 'numpy<2'")
    return Check("numpy", OK, version)


def packages() -> list[Check]:
    """What the models import, imported as they do: by the python3 that the stub will find."""
    rows = []
    for package in _MODEL_PACKAGES:
        code = f"import {package}; print({package}.__version__)"
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        if ran.returncode == 0:
            rows.append(Check(package, OK, ran.stdout.strip()))
            continue
        last = (ran.stderr.strip().splitlines() or ["does not import"])[-1]
        rows.append(Check(package, FAIL, last, "pip install 'emoserve[ensemble]'"))
    return rows


def repository(path: Path) -> Check:
    """The model repository, each model with the file that its backend loads."""
    try:
        names = check_repository(path)
    except RepositoryError as error:
        return Check("model repository", FAIL, "incomplete", str(error))
    return Check("model repository", OK, f"{len(names)} models in {path}")


def manifest(path: Path) -> Check:
    """The exported files against the manifest."""
    try:
        compared = _manifest.verify(path)
    except RepositoryError as error:
        return Check("manifest", FAIL, "differs", str(error))
    if not compared:
        return Check(
            "manifest", WARN, "none", "`emoserve export` writes one; then files are verified"
        )
    return Check("manifest", OK, f"{compared} files as exported")


def port(number: int) -> Check:
    """A port that nobody listens on."""
    name = f"port {number}"
    if not number or is_free("127.0.0.1", number):
        return Check(name, OK, "free")
    holder = holder_of(number) or "another user's process"
    return Check(
        name, FAIL, f"taken by {holder}", "stop it, or choose another port (0: a free one)"
    )


def shared_memory() -> Check:
    """/dev/shm, through which Triton and the Python steps pass tensors."""
    path = Path("/dev/shm")
    if not path.is_dir():
        return Check("/dev/shm", FAIL, "missing", "mount a tmpfs there")
    usage = shutil.disk_usage(path)
    free = usage.free // _MIB
    found = f"{free} MiB of {usage.total // _MIB} MiB free"
    remedy = "docker run --shm-size=1g; in Kubernetes an emptyDir of medium Memory"
    if free < _SHM_NEEDED_MIB:
        return Check("/dev/shm", FAIL, found, remedy)
    return Check("/dev/shm", *((WARN, found, remedy) if free < _SHM_WANTED_MIB else (OK, found)))


def disk() -> Check:
    """Room for the assembled server and the logs."""
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Check(
            "disk", FAIL, f"{folder} is read-only", "set XDG_CACHE_HOME to a writable folder"
        )
    free = shutil.disk_usage(folder).free // _MIB
    good = free >= _DISK_WANTED_MIB
    return Check("disk", OK if good else WARN, f"{free} MiB free", "" if good else "make room")


def memory() -> Check:
    """Memory that is available now."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    free = int(match[1]) // 1024 if match else 0
    good = free >= _MEMORY_WANTED_MIB
    remedy = "" if good else f"the CPU profile wants about {_MEMORY_WANTED_MIB} MiB"
    return Check("memory", OK if good else WARN, f"{free} MiB available", remedy)


def gpu() -> Check:
    """An NVIDIA GPU; the CPU profile needs none."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        ran = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=30)
        if ran.returncode == 0 and ran.stdout.strip():
            return Check("GPU", OK, re.sub(r" \(UUID[^)]*\)", "", ran.stdout.strip()))
    if has_gpu():
        return Check("GPU", WARN, "a device, but nvidia-smi fails", "see to the NVIDIA driver")
    return Check("GPU", OK, "none: the profile `cpu` needs none")


def tensorrt() -> Check:
    """TensorRT with its libraries; only the profile for GPUs uses it."""
    if importlib.util.find_spec("tensorrt") is None:
        return Check("TensorRT", OK, "none: only the GPU profile uses it")
    ran = subprocess.run(
        [sys.executable, "-c", "import tensorrt; print(tensorrt.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 0:
        return Check("TensorRT", OK, ran.stdout.strip())
    return Check("TensorRT", WARN, "bindings without libraries", "build engines in the container")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

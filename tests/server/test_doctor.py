"""`emoserve doctor` on this machine: healthy, and with one thing at a time really broken."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]


def doctor(
    *arguments: str | Path, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a terminal wide enough for one line per check."""
    return subprocess.run(
        [*before, sys.executable, "-m", "emoserve_server.doctor", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "250", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def row(printed: str, name: str) -> str:
    """Return a check's line, with the line that says what to do about it."""
    lines = printed.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith(name))
    return lines[at] + (lines[at + 1] if "->" in lines[at + 1] else "")


@pytest.fixture
def repository(new_repository) -> Path:
    return new_repository().add_python("plus_one").path


def test_a_healthy_machine(repository):
    ran = doctor("--repository", repository, *FREE_PORTS)
    assert ran.returncode == 0, ran.stdout
    assert "This machine can serve" in ran.stdout
    for name in ("Python", "glibc", "Triton's wheel", "Python backend", "tritonserver", "numpy"):
        assert " ok " in row(ran.stdout, name)
    assert "1 models" in row(ran.stdout, "model repository")
    assert "warn" in row(ran.stdout, "manifest")


def test_a_taken_port(repository):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        ran = doctor("--repository", repository, *FREE_PORTS[2:], "--http-port", port)
    assert ran.returncode == 5
    assert f"(pid {os.getpid()})" in row(ran.stdout, f"port {port}")
    assert f"Cannot serve: port {port}" in ran.stdout


def test_a_repository_that_is_absent_or_not_exported(tmp_path, new_repository):
    ran = doctor("--repository", tmp_path / "nowhere", *FREE_PORTS)
    assert ran.returncode == 5
    assert "emoserve export" in row(ran.stdout, "model repository")
    repository = new_repository()
    repository.add("face_net", "onnxruntime")
    ran = doctor("--repository", repository.path, *FREE_PORTS)
    assert ran.returncode == 5
    assert "face_net/1/model.onnx" in row(ran.stdout, "model repository")


def test_a_changed_file(repository):
    digests = {"plus_one/1/model.py": "0" * 64}
    (repository / "manifest.json").write_text(json.dumps({"format": 1, "files": digests}))
    ran = doctor("--repository", repository, *FREE_PORTS)
    assert ran.returncode == 5
    assert "plus_one/1/model.py was changed" in row(ran.stdout, "manifest")


def _can_mount() -> bool:
    tool = shutil.which("unshare")
    if tool is None or os.geteuid() != 0:
        return False
    probe = [tool, "--mount", "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/dev/shm"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not _can_mount(), reason="needs root and mount namespaces")


@needs_mount
def test_too_little_shared_memory(repository):
    shell = 'mount -t tmpfs -o size=8m tmpfs /dev/shm && exec "$@"'
    ran = doctor(
        "--repository", repository, *FREE_PORTS, before=("unshare", "-m", "sh", "-c", shell, "sh")
    )
    assert ran.returncode == 5
    assert "8 MiB of 8 MiB free" in row(ran.stdout, "/dev/shm")
    assert "--shm-size" in row(ran.stdout, "/dev/shm")


@needs_mount
def test_a_wheel_without_its_libraries(repository, tmp_path):
    libraries = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    (tmp_path / "empty").mkdir()
    shell = f'mount --bind {tmp_path}/empty {libraries}/nvidia_pytriton.libs && exec "$@"'
    ran = doctor(
        "--repository", repository, *FREE_PORTS,
        before=("unshare", "-m", "sh", "-c", shell, "sh"), XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    assert ran.returncode == 5
    assert "does not run here" in row(ran.stdout, "tritonserver")


DEBIAN = Path("/usr/bin/python3.11")
DEBIAN_LIBRARIES = sorted(Path("/usr/lib/x86_64-linux-gnu").glob("libpython3.11.so*"))


@needs_mount
@pytest.mark.skipif(
    not (DEBIAN.exists() and sys.version_info[:2] == (3, 11)),
    reason="needs Debian's own Python, which is not linked to libpython, of this version",
)
def test_a_missing_libpython_names_the_package(repository, tmp_path):
    hide = " && ".join(f"mount --bind /dev/null {path.resolve()}" for path in DEBIAN_LIBRARIES)
    packages = next(entry for entry in sys.path if entry.endswith("site-packages"))
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{hide or 'true'} && exec \"$@\"", "sh",
         str(DEBIAN), "-m", "emoserve_server.doctor", "--repository", str(repository), *FREE_PORTS],
        env={**os.environ, "COLUMNS": "250", "PYTHONPATH": f"{root / 'server'}:{packages}",
             "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 5, ran.stderr
    assert "apt-get install libpython3.11" in row(ran.stdout, "Python backend")

"""A real Triton with three small models: the client's own test server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent / "repository"


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Triton:
    """One running tritonserver."""

    http_port: int
    grpc_port: int
    process: subprocess.Popen[bytes]
    log: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def grpc_url(self) -> str:
        return f"grpc://127.0.0.1:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"tritonserver ended:\n{self.log.read_text()[-3000:]}")
            try:
                urllib.request.urlopen(f"{self.http_url}/v2/health/ready", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"tritonserver is not ready:\n{self.log.read_text()[-3000:]}")

    def stop(self, timeout_s: float = 10.0) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backend directory with the Python backend and this Python's stub."""
    pytriton = pytest.importorskip("pytriton", reason="needs the extra `server`")
    home = Path(pytriton.__file__).parent / "tritonserver"
    folder = tmp_path_factory.mktemp("backends")
    shutil.copytree(home / "backends" / "python", folder / "python")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, folder / "python" / stub.name)
    return folder


@pytest.fixture(scope="session")
def start_triton(
    backends: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Triton]]:
    """A function that starts one more tritonserver; all are stopped at the end."""
    running: list[Triton] = []

    def start(
        *arguments: str,
        repository: Path = REPOSITORY,
        wait: bool = True,
        http_port: int | None = None,
        grpc_port: int | None = None,
    ) -> Triton:
        import pytriton

        home = Path(pytriton.__file__).parent
        http_port, grpc_port = http_port or free_port(), grpc_port or free_port()
        log = tmp_path_factory.mktemp("triton") / "log.txt"
        environment = dict(os.environ)
        environment["LD_LIBRARY_PATH"] = str(home.parent / "nvidia_pytriton.libs")
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        command = [
            str(home / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1",
            f"--http-port={http_port}",
            f"--grpc-port={grpc_port}",
            "--allow-metrics=false",
            "--disable-auto-complete-config",
            *arguments,
        ]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command, env=environment, stdout=sink, stderr=subprocess.STDOUT
            )
        triton = Triton(http_port, grpc_port, process, log)
        running.append(triton)
        if wait:
            triton.wait_ready()
        return triton

    yield start
    for triton in running:
        if triton.process.poll() is None:
            triton.stop()


@pytest.fixture(scope="session")
def triton(start_triton: Callable[..., Triton]) -> Triton:
    """The session's server."""
    return start_triton()

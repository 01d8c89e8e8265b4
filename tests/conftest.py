"""What several folders of tests need: the real data, the exported repository, a real Triton."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def pytest_configure() -> None:
    """Let Ctrl-C be tested where the runner itself was started in the background, deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real speech, text, faces, clips and photos; not part of the project."""
    if not SHARED.is_dir():
        reason = f"real data absent: {SHARED}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository, exported with the profile cpu."""
    path = ROOT / "model_repository"
    if not (path / "manifest.json").is_file():
        pytest.fail("model_repository is not exported: run `make test`, or `emoserve export`")
    return path


@pytest.fixture(scope="session")
def triton(repository: Path) -> Iterator[EmbeddedTriton]:
    """A real Triton that serves the whole repository, on free ports of the loopback."""
    with EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        yield server

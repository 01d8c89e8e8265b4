"""What can go wrong before and while Triton runs.

    ServerError
    ├── MachineError      this machine lacks something (glibc, libpython, the wheel)
    ├── RepositoryError   the model repository is absent, empty or changed
    ├── PortTakenError    somebody else listens there
    └── StartError        Triton ended or stayed silent before it was ready

Every message is one line for the reader, followed by what to do.
"""

from __future__ import annotations

from pathlib import Path


class ServerError(RuntimeError):
    """The embedded server cannot run, or failed."""


class MachineError(ServerError):
    """This machine lacks something Triton needs; the message names the remedy."""


class RepositoryError(ServerError):
    """The model repository is absent, holds no model, or differs from its manifest."""


class PortTakenError(ServerError):
    """A port is in use. `port` is its number."""

    def __init__(self, message: str, port: int) -> None:
        super().__init__(message)
        self.port = port


class StartError(ServerError):
    """Triton did not become ready. `log_file` keeps its whole log, `lines` the telling ones."""

    def __init__(self, message: str, log_file: Path, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log_file = log_file
        self.lines = lines

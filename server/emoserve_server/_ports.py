"""Free ports, and who holds the taken ones."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from emoserve_server._errors import PortTakenError

# Below Linux's ephemeral range (32768), so that no outgoing connection takes the port between
# our test and Triton's bind.
_CHOICES = range(18000, 32000)


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on this port of this address now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        # Connections of an ended server that linger in TIME_WAIT do not stop a new one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(host: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return the wanted ports, each 0 replaced by a free one.

    Raises:
        PortTakenError: one of the wanted ports is in use.
    """
    chosen: list[int] = []
    for port in wanted:
        if port and not is_free(host, port):
            holder = holder_of(port)
            raise PortTakenError(
                f"port {port} is taken{f' by {holder}' if holder else ''}: stop it, or choose "
                "another port (0 takes a free one)",
                port,
            )
        candidate = port
        while not candidate:
            guess = random.choice(_CHOICES)
            if guess not in wanted and guess not in chosen and is_free(host, guess):
                candidate = guess
        chosen.append(candidate)
    return tuple(chosen)


def holder_of(port: int) -> str | None:
    """Return `name (pid n)` of the process that listens on a port, where Linux tells us."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        if inodes.intersection(_open_files(process)):
            name = (process / "comm").read_text().strip()
            return f"{name} (pid {process.name})"
    return None


def _open_files(process: Path) -> Iterator[str]:
    """Yield what a process has open; nothing where it ended or is somebody else's."""
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):  # closed meanwhile
            yield str(entry.readlink())


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listening = fields[3] == "0A"  # TCP_LISTEN in the kernel's tcp_states.h
            if listening and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found

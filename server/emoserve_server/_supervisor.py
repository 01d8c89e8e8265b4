"""Runs one command, ends it when asked or when the parent is gone, and leaves nothing behind.

Started by `EmbeddedTriton` as `python -I -S _supervisor.py SECONDS SHM_PREFIX COMMAND…`. It stands
between the caller and Triton because only a third process can clean up after `kill -9` of the
caller. It writes the command's process id to its standard output and then waits, without using
any CPU, for one of: the command ends; its standard input is closed; the parent dies; SIGTERM.

It uses the standard library only and imports nothing of ours, so that it starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_STUBS_END_S = 5.0
_SHM = Path("/dev/shm")


def main(arguments: list[str]) -> int:
    """Return the command's exit status; 128 + n when signal n ended it."""
    grace_s, prefix, command = float(arguments[0]), arguments[1], arguments[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    # Stubs whose server died become our children, so that they can be waited for.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = _claim(prefix)
    sweep_stale()

    def in_child() -> None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=in_child)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{server.pid}\n".encode())
    try:
        _wait_for_reason(server, wake)
        _end(server, grace_s)
    finally:
        _end_group(server.pid)
        _remove(prefix)
        os.close(lock)
    code = server.returncode
    return code if code >= 0 else 128 - code


def _wait_for_reason(server: subprocess.Popen[bytes], wake: int) -> None:
    """Block until the server has ended or should."""
    watched = [0, wake]
    with contextlib.suppress(OSError, AttributeError):
        watched.append(os.pidfd_open(os.getppid()))
    while server.poll() is None:
        ready, _, _ = select.select(watched, [], [])
        if wake in ready and _only_child_signals(os.read(wake, 64)):
            ready.remove(wake)
        if ready:
            return


def _only_child_signals(numbers: bytes) -> bool:
    return set(numbers) == {signal.SIGCHLD}


def _end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end_group(group: int) -> None:
    """Wait for the stubs the server left; after `_STUBS_END_S` kill them."""
    until = time.monotonic() + _STUBS_END_S
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended:
            continue
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        time.sleep(0.02)


def _claim(prefix: str) -> int:
    """Return a locked file that says: the regions of this prefix are in use."""
    making = _SHM / f".{prefix}.making"
    handle = os.open(making, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    making.rename(_SHM / f"{prefix}.lock")  # only ever seen locked
    return handle


def sweep_stale() -> None:
    """Remove the regions of servers that were killed together with their supervisor."""
    for path in _SHM.glob("emoserve-*.lock"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path.stem)
            finally:
                os.close(handle)


def _remove(prefix: str) -> None:
    for path in _SHM.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            path.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Decoding in a place of its own: a crash or a hang of FFmpeg's libraries loses one request only.

`MediaReader` decodes in this process; `DecoderProcess` has the same `open` and decodes in a child
that it keeps warm, bounds in memory and time, and replaces when it dies. Media goes over as a
sealed memory file, events come back over a socket: no pickle, no temporary files.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Protocol

import numpy as np

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Frame, MediaEvent, MediaInfo, MediaReader, Sampling, Sound
from emoserve_ensemble.wire import receive

STALL_S = 30.0  # a decoder that gives nothing for so long hangs


class Reader(Protocol):
    """An opened clip."""

    @property
    def info(self) -> MediaInfo: ...

    def events(self) -> Iterator[MediaEvent]: ...

    def __enter__(self) -> "Reader": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Decoder(Protocol):
    """Opens clips."""

    def open(self, data: bytes, limits: Limits, sampling: Sampling | None = None) -> Reader:
        """Return the clip's reader.

        Raises:
            InputError: the clip cannot be used.
        """
        ...

    def close(self) -> None:
        """End what it started."""
        ...


class LocalDecoder:
    """Decodes in this process: for tests, and for the benchmark's «no server» limit."""

    def open(self, data: bytes, limits: Limits, sampling: Sampling | None = None) -> Reader:
        return MediaReader(data, limits, sampling)

    def close(self) -> None:
        pass


class DecoderProcess:
    """Decodes in a child process, one clip at a time; threads wait for each other.

    Args:
        stall_s: how long the child may be silent before it is killed.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def open(self, data: bytes, limits: Limits, sampling: Sampling | None = None) -> Reader:
        limits.check_bytes("media", len(data))
        job = {"limits": asdict(limits), "sampling": asdict(sampling or Sampling())}
        self._lock.acquire()
        try:
            if self._child is None or not self._child.alive:
                self._child = _Child(self._stall_s)
            self._child.start(data, job)
            return _RemoteReader(self._child, self._lock)
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child = None


class _Child:
    """The child process and the socket to it."""

    def __init__(self, stall_s: float) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(stall_s)
        self._socket = ours
        self._stall_s = stall_s
        python = sys.executable or shutil.which("python3") or "python3"
        self._process = subprocess.Popen(
            [python, "-m", "emoserve_ensemble.decoder_worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, data: bytes, job: Mapping[str, object]) -> None:
        """Hand over a clip."""
        file = os.memfd_create("emoserve-media")
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            socket.send_fds(self._socket, [json.dumps(job).encode().ljust(1024)], [file])
        except OSError as error:
            self.kill()
            raise InputError("undecodable", f"media: the decoder died ({error})") from error
        finally:
            os.close(file)

    def receive(self) -> tuple[dict[str, object], bytes]:
        """Return the next message.

        Raises:
            InputError: the child died, hung, or says that the clip cannot be used.
        """
        try:
            header, payload = receive(self._socket)
        except TimeoutError as error:
            self.kill()
            raise InputError(
                "timeout", f"media: the decoder gave nothing for {self._stall_s:.0f} s"
            ) from error
        except (EOFError, OSError) as error:
            self.kill()
            raise InputError("undecodable", "media: the decoder crashed on it") from error
        if header["kind"] == "error":
            raise InputError(header["reason"], str(header["message"]))
        return header, payload

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()


class _RemoteReader:
    """A clip that is open in the child; holds the child until closed."""

    def __init__(self, child: _Child, lock: threading.Lock) -> None:
        self._child = child
        self._lock = lock
        self._finished = False
        try:
            header, _ = child.receive()
        except InputError:
            self._finished = True
            raise
        self._info = MediaInfo(**header["info"])  # type: ignore[arg-type]

    @property
    def info(self) -> MediaInfo:
        return self._info

    def events(self) -> Iterator[MediaEvent]:
        while not self._finished:
            try:
                header, payload = self._child.receive()
            except InputError:
                self._finished = True
                raise
            if header["kind"] == "end":
                self._finished = True
            else:
                yield _event(header, payload)

    def __enter__(self) -> "_RemoteReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished and self._child.alive:
            self._child.kill()  # the rest of the clip is not wanted
            self._finished = True
        with contextlib.suppress(RuntimeError):
            self._lock.release()


def _event(header: dict[str, object], payload: bytes) -> MediaEvent:
    time_s = float(header["time_s"])  # type: ignore[arg-type]
    if header["kind"] == "sound":
        return Sound(time_s, np.frombuffer(payload, np.float32))
    return Frame(time_s, np.frombuffer(payload, np.uint8).reshape(header["shape"]))  # type: ignore[call-overload]


def decode_sound(data: bytes, decoder: Decoder, limits: Limits) -> Floats:
    """Return a whole sound file, or a clip's sound track: float32 [samples], 16 000 Hz mono.

    Raises:
        InputError: empty, unsupported, undecodable, over a limit, or without a sound stream.
    """
    with decoder.open(data, limits) as reader:
        if not reader.info.has_sound:
            raise InputError("undecodable", "audio: the file has no sound stream")
        pieces = [event.samples for event in reader.events() if isinstance(event, Sound)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

"""Where live moments come from: a camera and a microphone, or a file played at its own speed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from emoserve_client.errors import InputError

Pixels = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]
RATE_HZ = 16_000
MAX_SIDE_PX = 640


@dataclass(frozen=True)
class Moment:
    """What is seen and heard at one time.

    `frame` is uint8 [height, width, 3] RGB; `sound` float32 [samples], mono in [-1, 1] at
    16 000 Hz, of the last seconds.
    """

    time_s: float
    frame: Pixels | None
    sound: Samples | None


class Source(Protocol):
    """Gives a moment each `hop_s` seconds of real time; those missed meanwhile are left out."""

    name: str

    def moments(self, hop_s: float, window_s: float) -> Iterator[Moment]: ...


class Ring:
    """The last seconds of a sound; one thread puts, another reads."""

    def __init__(self, seconds: float) -> None:
        self._keep = int(seconds * RATE_HZ)
        self._pieces: deque[Samples] = deque()
        self._count = 0
        self._lock = threading.Lock()

    def put(self, samples: Samples) -> None:
        """Adds float32 [samples]."""
        with self._lock:
            self._pieces.append(samples)
            self._count += len(samples)
            while self._count - len(self._pieces[0]) >= self._keep:
                self._count -= len(self._pieces.popleft())

    def read(self) -> Samples | None:
        """The last seconds; None before there is any sound."""
        with self._lock:
            if not self._pieces:
                return None
            return np.concatenate(self._pieces)[-self._keep :]


def shrunk(frame: Pixels) -> Pixels:
    """The frame with sides of at most 640 pixels, by leaving out rows and columns."""
    step = -(-max(frame.shape[:2]) // MAX_SIDE_PX)
    return np.ascontiguousarray(frame[::step, ::step])


class FileSource:
    """A file, played at its own speed.

    Raises:
        InputError: it cannot be decoded, or PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as err:
            raise _missing("playing a file", "av") from err
        self._av: Any = av
        self.name = path.name
        self._path = path
        try:
            self._av.open(str(path)).close()
        except (OSError, ValueError) as err:
            raise InputError(f"{path}: cannot be played: {err}", reason="undecodable") from err

    def moments(self, hop_s: float, window_s: float) -> Iterator[Moment]:
        """Moments at the pace of the file; those that nobody had time for are left out."""
        ring, frame, due = Ring(window_s), None, hop_s
        started = time.monotonic()
        for at, picture, sound in self._decoded():
            frame = picture if picture is not None else frame
            if sound is not None:
                ring.put(sound)
            if at < due:
                continue
            ahead = at - (time.monotonic() - started)
            due = (at // hop_s + 1) * hop_s
            if ahead < -hop_s:
                continue
            time.sleep(max(0.0, ahead))
            yield Moment(at, None if frame is None else shrunk(frame), ring.read())

    def _decoded(self) -> Iterator[tuple[float, Pixels | None, Samples | None]]:
        """Pictures and sound with their times in seconds, as they lie in the file."""
        with self._av.open(str(self._path)) as media:
            resampler = self._av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
            streams = [*media.streams.video[:1], *media.streams.audio[:1]]
            for decoded in media.decode(*streams):
                at = float(decoded.time or 0.0)
                if isinstance(decoded, self._av.VideoFrame):
                    yield at, decoded.to_ndarray(format="rgb24"), None
                    continue
                for piece in resampler.resample(decoded):
                    yield at, None, piece.to_ndarray().reshape(-1)


class DeviceSource:
    """A camera, and a microphone where there is one.

    Raises:
        InputError: there is no such camera, or OpenCV is not installed.
    """

    def __init__(self, camera: int, *, microphone: bool = True) -> None:
        try:
            import cv2
        except ImportError as err:
            raise _missing("a camera", "opencv-python-headless") from err
        self.name = f"camera {camera}"
        self._capture: Any = cv2.VideoCapture(camera)
        if not self._capture.isOpened():
            raise InputError(
                f"there is no camera {camera}; play a file instead: emoserve live clip.mp4",
                reason="not_found",
            )
        self._microphone = microphone
        self._latest: Pixels | None = None
        self._stop = threading.Event()

    def moments(self, hop_s: float, window_s: float) -> Iterator[Moment]:
        """Moments until the camera ends."""
        ring = Ring(window_s)
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        listening = _listen(ring) if self._microphone else None
        started = time.monotonic()
        try:
            while watching.is_alive():
                time.sleep(hop_s)
                frame = None if self._latest is None else shrunk(self._latest)
                yield Moment(time.monotonic() - started, frame, ring.read())
        finally:
            self._stop.set()
            watching.join(1.0)
            if listening is not None:
                listening.close()
            self._capture.release()

    def _watch(self) -> None:
        """Keeps the latest frame; older ones are of no use."""
        while not self._stop.is_set():
            ok, frame = self._capture.read()  # [height, width, 3] BGR
            if not ok:
                return
            self._latest = frame[..., ::-1]


def _listen(ring: Ring) -> Any:
    """Fills the ring from the microphone; None where there is none."""
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: PortAudio's library is missing
        return None

    def put(samples: Any, *_: object) -> None:
        ring.put(samples[:, 0].copy())

    try:
        stream = sounddevice.InputStream(RATE_HZ, channels=1, dtype="float32", callback=put)
        stream.start()
    except sounddevice.PortAudioError:
        return None
    return stream


def _missing(what: str, package: str) -> InputError:
    return InputError(f"{what} needs {package}: pip install 'emoserve[live]'", reason="bad_option")

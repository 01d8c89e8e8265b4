"""Decoding in a place of its own: a crash or a hang of FFmpeg's libraries loses one request only.

`LocalDecoder` decodes in this process; `DecoderProcess` does the same in a child
that it keeps warm, bounds in memory and time, and replaces when it dies.
"""

import contextlib
import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels
from emoserve_ensemble.child import Child, ChildError, StalledError
from emoserve_ensemble.errors import Cancelled, InputError, never
from emoserve_ensemble.images import Picture, at_once, checked, decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import RATE_HZ, Frame, MediaEvent, MediaInfo, Sampling, Sound
from emoserve_ensemble.wav import plain_wav

STALL_S = 30.0  # a decoder that gives nothing for so long hangs
_JOB_ROOM_BYTES = 64 * 2**20  # for the pixels of pictures that are handed over at once
_KEPT_BYTES = 2 * _JOB_ROOM_BYTES  # of memory shared with the child, from one job to the next


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

    def open(
        self,
        data: bytes,
        limits: Limits,
        sampling: Sampling | None = None,
        cancelled: Cancelled = never,
    ) -> Reader:
        """Return the clip's reader; waits for it end once `cancelled()` is true.

        Raises:
            InputError: the clip cannot be used.
            CallerGoneError: a wait was ended.
        """
        ...

    def ahead(
        self, images: Sequence[bytes], limits: Limits
    ) -> contextlib.AbstractContextManager[Iterator[Pixels | InputError]]:
        """Give each encoded picture's pixels, uint8 [height, width, 3], RGB, or what is wrong.

        They come in order, and are decoded while the caller works on those before. No other call
        until the block ends.
        """
        ...

    def close(self) -> None:
        """End what it started."""
        ...


class LocalDecoder:
    """Decodes in this process: for tests, and for the benchmark's «no server» limit."""

    def open(
        self,
        data: bytes,
        limits: Limits,
        sampling: Sampling | None = None,
        cancelled: Cancelled = never,
    ) -> Reader:
        from emoserve_ensemble.media_reader import MediaReader  # FFmpeg's libraries, where needed

        return MediaReader(data, limits, sampling)

    @contextlib.contextmanager
    def ahead(
        self, images: Sequence[bytes], limits: Limits
    ) -> Iterator[Iterator[Pixels | InputError]]:
        yield (_decoded(image, limits) for image in images)

    def close(self) -> None:
        pass


class DecoderProcess:
    """Decodes in a child process, one clip at a time; threads wait for each other.

    Args:
        stall_s: how long the child may be silent before it is killed.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._child: Child | None = None
        self._lock = threading.Lock()

    def open(
        self,
        data: bytes,
        limits: Limits,
        sampling: Sampling | None = None,
        cancelled: Cancelled = never,
    ) -> Reader:
        limits.check_bytes("media", len(data))
        job = {"limits": asdict(limits), "sampling": asdict(sampling or Sampling())}
        self._lock.acquire()
        try:
            child = self._living()
            try:
                child.start(job, data)
            except ChildError as error:
                raise InputError("undecodable", f"media: the decoder died ({error})") from error
            return _RemoteReader(child, self._lock, self._stall_s, cancelled)
        except BaseException:
            self._lock.release()
            raise

    @contextlib.contextmanager
    def ahead(
        self, images: Sequence[bytes], limits: Limits
    ) -> Iterator[Iterator[Pixels | InputError]]:
        pictures = checked(images, limits)
        usable = [picture for picture in pictures if isinstance(picture, Picture)]
        with (
            self._lock,
            contextlib.closing(_Ahead(usable, limits, self._living, self._stall_s)) as decoded,
        ):
            yield (next(decoded) if isinstance(each, Picture) else each for each in pictures)

    def _living(self) -> Child:
        """Return the child, a new one where the last has died."""
        if self._child is None or not self._child.alive:
            self._child = Child("emoserve_ensemble.decoder_worker")
        return self._child

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child = None


class _Ahead:
    """The pixels of pictures, in order; the child decodes while they are taken.

    A picture that kills the child loses itself only: a new child takes the rest.

    Args:
        living: gives the child, a new one where the last has died.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        limits: Limits,
        living: Callable[[], Child],
        stall_s: float,
    ) -> None:
        self._waiting = list(pictures)
        self._limits = asdict(limits)
        self._living = living
        self._stall_s = stall_s
        self._handed: list[Picture] = []  # to the child, and not yet taken
        if pictures:
            with contextlib.suppress(ChildError):  # `__next__` tries again
                self._hand_over()

    def __iter__(self) -> "_Ahead":
        return self

    def __next__(self) -> Pixels | InputError:
        if not self._handed:
            if not self._waiting:
                raise StopIteration
            try:
                self._hand_over()
            except ChildError as error:
                self._waiting.pop(0)
                return InputError("undecodable", f"image: the decoder died ({error})")
        picture = self._handed.pop(0)
        try:
            header, _ = _received(self._child, "image", self._stall_s, never)
        except InputError as error:
            if not self._child.alive:
                self._waiting, self._handed = self._handed + self._waiting, []
            return error
        else:
            return _taken(self._memory, self._start, header["shape"])
        finally:
            self._start += picture.room_bytes
            if not self._handed and len(self._memory) > _KEPT_BYTES:
                self._child.forget_shared()

    def _hand_over(self) -> None:
        some = at_once(self._waiting, _JOB_ROOM_BYTES)
        sizes = [[len(each.encoded), each.room_bytes] for each in some]
        job = {"limits": self._limits, "pictures": sizes}
        self._child = self._living()
        self._memory = self._child.start_shared(
            job,
            *(each.encoded for each in some),
            room_bytes=sum(each.room_bytes for each in some),
        )
        self._start = sum(len(each.encoded) for each in some)  # where the next one's pixels lie
        self._handed, self._waiting = list(some), self._waiting[len(some) :]

    def close(self) -> None:
        """End the child if it has more to say: that would be taken for answers to the next job."""
        if self._handed:
            self._child.kill()


def _taken(memory: mmap.mmap, start: int, shape: Sequence[int]) -> Pixels:
    """Return a copy of the pixels that the child has put into the memory."""
    return np.frombuffer(memory, np.uint8, int(np.prod(shape)), start).reshape(shape).copy()


def _decoded(image: bytes, limits: Limits) -> Pixels | InputError:
    try:
        return decode_image(image, limits)
    except InputError as error:
        return error


class _RemoteReader:
    """A clip that is open in the child; holds the child until closed."""

    def __init__(
        self, child: Child, lock: threading.Lock, stall_s: float, cancelled: Cancelled
    ) -> None:
        self._child = child
        self._lock = lock
        self._stall_s = stall_s
        self._cancelled = cancelled
        self._finished = False
        header, _ = self._receive()
        self._info = MediaInfo(**header["info"])

    @property
    def info(self) -> MediaInfo:
        return self._info

    def events(self) -> Iterator[MediaEvent]:
        while not self._finished:
            header, payload = self._receive()
            if header["kind"] == "end":
                self._finished = True
            else:
                yield _event(header, payload)

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        try:
            return _received(self._child, "media", self._stall_s, self._cancelled)
        except InputError:
            self._finished = True
            raise

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


def _received(
    child: Child, what: str, stall_s: float, cancelled: Cancelled
) -> tuple[dict[str, Any], bytearray]:
    """Return the child's next message.

    Raises:
        InputError: the child died, hung, or says that the input cannot be used.
        CallerGoneError: nobody waits for it any more.
    """
    try:
        header, payload = child.receive(stall_s, cancelled)
    except StalledError as error:
        raise InputError("timeout", f"{what}: the decoder: {error}") from error
    except ChildError as error:
        raise InputError("undecodable", f"{what}: the decoder crashed on it") from error
    if header["kind"] == "error":
        raise InputError(header["reason"], str(header["message"]))
    return header, payload


def _event(header: dict[str, Any], payload: bytearray) -> MediaEvent:
    time_s = float(header["time_s"])
    if header["kind"] == "sound":
        return Sound(time_s, np.frombuffer(payload, np.float32))
    return Frame(time_s, np.frombuffer(payload, np.uint8).reshape(header["shape"]))


def decode_sound(
    data: bytes, decoder: Decoder, limits: Limits, cancelled: Cancelled = never
) -> Floats:
    """Return a whole sound file, or a clip's sound track: float32 [samples], 16 000 Hz mono.

    Raises:
        InputError: empty, unsupported, undecodable, over a limit, or without a sound stream.
    """
    limits.check_bytes("media", len(data))
    plain = plain_wav(data)
    if plain is not None:
        limits.check_duration("media", len(plain) / RATE_HZ)
        return plain
    with decoder.open(data, limits, cancelled=cancelled) as reader:
        if not reader.info.has_sound:
            raise InputError("undecodable", "audio: the file has no sound stream")
        pieces = [event.samples for event in reader.events() if isinstance(event, Sound)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

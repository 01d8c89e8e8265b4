"""Bytes of a clip to a stream of sound and sampled frames, in bounded memory.

The one place that opens FFmpeg's libraries (through PyAV).
"""

import io
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from emoserve_ensemble.arrays import Floats, Pixels, Tensor
from emoserve_ensemble.containers import demuxer
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import RATE_HZ, Frame, MediaEvent, MediaInfo, Sampling, Sound

_SNIFFED_BYTES = 512
SCENE_CHANGE = 25.0  # grey levels of 255, mean over a thumbnail
_THUMBNAIL = (32, 18)  # width, height
_PROBED = {"wav": {"probesize": "32768"}}  # bytes: all is in its header; 2 ms instead of 3.6
# A tag that is not UTF-8 must not refuse a clip: since PyAV 19 none does, without this word.
_TAGS: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)
SOUND_SAMPLES = 4_096  # of one event: a hop to the decoder's child costs more than a block of 1,024
ALONE_SAMPLES = 65_536  # where no pictures come in between


class MediaReader:
    """Reads a clip once, start to end, as sound and sampled frames in the order they are stored.

    Args:
        source: the file's bytes, or an open file of them; any accepted container.
        limits: bounds, checked before and while decoding.
        sampling: which frames are looked at; by default none.

    Raises:
        InputError: empty, unsupported, undecodable or over a limit.
    """

    def __init__(
        self, source: bytes | BinaryIO, limits: Limits, sampling: Sampling | None = None
    ) -> None:
        self._limits = limits
        self._sampling = sampling or Sampling()
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        self._container = _open(file, limits)
        self._check_streams()
        self.info = self._read_info()

    def __enter__(self) -> "MediaReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def _check_streams(self) -> None:
        count = len(self._container.streams)
        if count > self._limits.max_streams:
            raise InputError(
                "too_large",
                f"media: {count} streams; at most {self._limits.max_streams} are accepted",
            )
        for stream in self._container.streams.video:
            self._limits.check_pixels(max(stream.width, 1), max(stream.height, 1))
            rate = float(stream.average_rate or 0)
            if rate > self._limits.max_frame_rate_hz:
                most_hz = self._limits.max_frame_rate_hz
                raise InputError(
                    "too_large", f"media: {rate:.0f} frames a second; at most {most_hz:.0f}"
                )
        if self._container.duration:
            self._limits.check_duration("media", self._container.duration / av.time_base)

    def _read_info(self) -> MediaInfo:
        streams = self._container.streams
        duration = self._container.duration
        # A cover picture in a sound file is a «video stream» of one attached frame.
        pictures = [
            s for s in streams.video if not s.disposition & av.stream.Disposition.attached_pic
        ]
        self._video = pictures[0] if pictures and self._sampling.frame_rate_hz else None
        self._sound = streams.audio[0] if streams.audio else None
        if self._sound is None and not pictures:
            raise InputError("undecodable", "media: neither a sound nor a video stream in it")
        return MediaInfo(
            self._sound is not None, bool(pictures), duration / av.time_base if duration else None
        )

    def events(self) -> Iterator[MediaEvent]:
        """Yield sound and frames.

        A damaged packet is skipped; a stream that never decodes is an `InputError`.
        """
        origin_s = (self._container.start_time or 0) / av.time_base
        state = _Decoding(self._sampling, self._limits, origin_s)
        streams = [stream for stream in (self._sound, self._video) if stream is not None]
        for stream in streams:
            if stream is self._video:
                stream.thread_type = "AUTO"
        failure: Exception | None = None
        try:
            for packet in self._container.demux(*streams):
                try:
                    yield from state.decode(packet)
                except av.FFmpegError as error:
                    failure = error
        except av.FFmpegError as error:  # the container itself breaks off
            failure = error
        yield from state.rest()
        if not state.produced:
            raise InputError(
                "undecodable", f"media: nothing in it decodes ({failure or 'no data'})"
            )


class _Decoding:
    """What is known while packets are decoded: the resampler, the clock, the next frame's time."""

    def __init__(self, sampling: Sampling, limits: Limits, origin_s: float) -> None:
        self._sampling = sampling
        self._origin_s = origin_s  # MPEG streams seldom start at 0
        self._thumbnail: Tensor | None = None
        self._limits = limits
        self._resampler: AudioResampler | None = None
        self._block = SOUND_SAMPLES if sampling.frame_rate_hz else ALONE_SAMPLES
        self._plain: list[Floats] = []  # sound that needs no resampler, not yet an event
        self._samples_out = 0
        self._sound_start_s: float | None = None
        self._next_frame_s = 0.0
        self._deadline_s = time.monotonic() + limits.max_decode_s
        self.produced = False

    def decode(self, packet: "av.Packet[Any]") -> Iterator[MediaEvent]:
        frame: Any
        for frame in packet.decode():
            if time.monotonic() > self._deadline_s:
                raise InputError(
                    "timeout", f"media: decoding takes over {self._limits.max_decode_s:.0f} s"
                )
            if isinstance(frame, av.AudioFrame):
                yield from self._sound(frame)
            elif isinstance(frame, av.VideoFrame):
                yield from self._picture(frame)

    def rest(self) -> Iterator[MediaEvent]:
        """Yield the sound that is still held."""
        yield from self._collected(0)
        if self._resampler is not None:
            yield from self._resampled(self._resampler, None)

    def _sound(self, frame: av.AudioFrame) -> Iterator[Sound]:
        if self._sound_start_s is None:
            self._sound_start_s = max(0.0, float(frame.time or 0.0) - self._origin_s)
        if self._resampler is None and _is_plain(frame):
            self._plain.append(frame.to_ndarray()[0].astype(np.float32) / 32_768)
            yield from self._collected(self._block)
            return
        if self._resampler is None:
            yield from self._collected(0)
            self._resampler = AudioResampler(
                format="flt", layout="mono", rate=RATE_HZ, frame_size=self._block
            )
        frame.pts = None  # gaps and jumps in time stamps must not make the resampler refuse
        yield from self._resampled(self._resampler, frame)

    def _collected(self, least: int) -> Iterator[Sound]:
        """Yield the plain sound, once there is enough of it."""
        if self._plain and sum(map(len, self._plain)) >= least:
            yield self._next(np.concatenate(self._plain))
            self._plain.clear()

    def _resampled(self, resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[Sound]:
        for out in resampler.resample(frame):
            # [1 channel, samples] -> [samples]
            samples = np.asarray(out.to_ndarray()[0], np.float32)
            yield self._next(np.clip(np.nan_to_num(samples), -1.0, 1.0))

    def _next(self, samples: Floats) -> Sound:
        start_s = (self._sound_start_s or 0.0) + self._samples_out / RATE_HZ
        self._samples_out += len(samples)
        self._limits.check_duration("media", start_s)
        self.produced = True
        return Sound(start_s, samples)

    def _picture(self, frame: av.VideoFrame) -> Iterator[Frame]:
        time_s = self._next_frame_s
        if frame.time is not None:
            time_s = max(0.0, float(frame.time) - self._origin_s)
        self._limits.check_duration("media", time_s)
        self._limits.check_pixels(frame.width, frame.height)
        cut = self._sampling.scenes and self._is_cut(frame)
        if time_s + 1e-6 < self._next_frame_s and not cut:
            return  # too soon after the last sampled one
        # The next one on the sampling grid, however uneven the clip's own frames are.
        rate_hz = self._sampling.frame_rate_hz
        self._next_frame_s = (time_s * rate_hz // 1 + 1) / rate_hz
        self.produced = True
        yield Frame(time_s, _pixels(frame, self._sampling.max_side_px))

    def _is_cut(self, frame: av.VideoFrame) -> bool:
        """Tell whether a new scene starts: compared with the frame before, on a grey thumbnail."""
        width, height = _THUMBNAIL
        small = frame.to_ndarray(format="gray", width=width, height=height).astype(np.int16)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > SCENE_CHANGE


def _is_plain(frame: av.AudioFrame) -> bool:
    """Tell sound that only has to be scaled: the resampler would take ten times as long."""
    plain = frame.format.name in ("s16", "s16p") and frame.sample_rate == RATE_HZ
    return plain and frame.layout.nb_channels == 1


def _open(file: BinaryIO, limits: Limits) -> InputContainer:
    size_bytes = file.seek(0, io.SEEK_END)
    limits.check_bytes("media", size_bytes)
    file.seek(0)
    name = demuxer(file.read(_SNIFFED_BYTES), "media")
    file.seek(0)
    try:
        container: InputContainer = av.open(
            file,
            mode="r",
            format=name,
            # Nothing but the bytes given is ever read: no files, no network.
            options={"protocol_whitelist": "none", "format_whitelist": name}
            | _PROBED.get(name, {}),
            **_TAGS,
        )
        return container
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise InputError(
            "undecodable",
            f"media: {size_bytes} bytes of {name} that do not open ({error}); is it cut off?",
        ) from error


def _pixels(frame: av.VideoFrame, max_side_px: int) -> Pixels:
    ratio = min(1.0, max_side_px / max(frame.width, frame.height))
    size = (max(2, round(frame.width * ratio)), max(2, round(frame.height * ratio)))
    rgb = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    quarter_turns = round(frame.rotation / 90) % 4
    turned = np.rot90(rgb, quarter_turns) if quarter_turns else rgb
    return np.ascontiguousarray(turned)

"""Networks in process, and small media made here."""

import io
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emoserve_ensemble.clip import NETWORKS
from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.tokens import Tokenizer

RATE_HZ = 16_000


@pytest.fixture(scope="session")
def networks(repository: Path) -> LocalNetworks:
    return LocalNetworks(repository, NETWORKS)


@pytest.fixture(scope="session")
def tokenizer(repository: Path) -> Tokenizer:
    return Tokenizer.from_file(repository / "text_tokens" / "1" / "tokenizer.json")


@pytest.fixture(scope="session")
def wav() -> Callable[[np.ndarray], bytes]:
    """Return a function that encodes float32 [samples] in [-1, 1] at 16 000 Hz as WAV."""

    def encode(samples: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    """Return a function that encodes uint8 [height, width, 3] RGB as PNG."""

    def encode(pixels: np.ndarray) -> bytes:
        return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()

    return encode


@pytest.fixture(scope="session")
def mp4() -> Callable[..., bytes]:
    """Return a function that makes an MP4 of grey frames and, if given, sound."""

    def encode(seconds: float, sound: np.ndarray | None = None, rate_hz: int = 10) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            video = container.add_stream("h264", rate=rate_hz)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            audio = (
                container.add_stream("aac", rate=RATE_HZ, layout="mono")
                if sound is not None
                else None
            )
            for index in range(round(seconds * rate_hz)):
                pixels = np.full((48, 64, 3), index % 256, np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(video.encode(None))
            if audio is not None and sound is not None:
                pcm = (sound * 32767).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
                frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                container.mux(audio.encode(frame))
                container.mux(audio.encode(None))
        return buffer.getvalue()

    return encode

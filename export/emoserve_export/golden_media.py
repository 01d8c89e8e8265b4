"""A face, a voice and a clip that are drawn by arithmetic: real enough for detectors, no one's.

The golden requests and the warm-up are made of them, so a repository carries no media of others.
MTCNN finds the face with 0.99, silero-vad takes the voice for speech (tests hold both).
"""

import functools
import io
import struct
import wave
import zlib

import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels

RATE_HZ = 16_000
SIDE = 264  # pixels
TEXT = "I am so happy to see you, this is wonderful!"

# Ellipses: centre x, y, half axes as shares of the side, colour, softness of the edge, tilt.
_HAIR, _SKIN, _DARK = (60, 42, 30), (222, 178, 150), (60, 40, 35)
_EYE: list[tuple[float, float, float, float, tuple[int, int, int], float]] = [
    (0, 0, 0.058, 0.03, (205, 155, 130), 0.3),
    (0, 0, 0.045, 0.02, (245, 242, 238), 0.12),
    (0, 0, 0.02, 0.021, (70, 50, 40), 0.1),
    (0, 0, 0.009, 0.009, (15, 10, 10), 0.1),
    (0, -0.015, 0.05, 0.007, _DARK, 0.3),
    (0, -0.055, 0.06, 0.011, _HAIR, 0.25),
]
_HEAD: list[tuple[float, float, float, float, tuple[int, int, int], float]] = [
    (0.5, 0.44, 0.30, 0.36, _HAIR, 0.05),
    (0.5, 0.86, 0.13, 0.2, (200, 155, 128), 0.05),
    (0.5, 0.52, 0.235, 0.315, _SKIN, 0.04),
    (0.38, 0.58, 0.07, 0.07, (232, 170, 150), 0.5),
    (0.62, 0.58, 0.07, 0.07, (232, 170, 150), 0.5),
    (0.5, 0.25, 0.2, 0.08, _HAIR, 0.15),
    *((x, y + 0.46, rx, ry, c, s) for x in (0.405, 0.595) for _, y, rx, ry, c, s in _EYE),
    (0.5, 0.55, 0.018, 0.075, (232, 190, 162), 0.5),
    (0.475, 0.605, 0.022, 0.014, (190, 135, 112), 0.4),
    (0.525, 0.605, 0.022, 0.014, (190, 135, 112), 0.4),
    (0.485, 0.613, 0.008, 0.005, (110, 70, 60), 0.4),
    (0.515, 0.613, 0.008, 0.005, (110, 70, 60), 0.4),
    (0.5, 0.70, 0.085, 0.03, (190, 95, 90), 0.2),
    (0.5, 0.695, 0.065, 0.013, (240, 235, 230), 0.2),
    (0.5, 0.79, 0.08, 0.03, (205, 160, 135), 0.6),
]
# First three resonances of vowels in Hz (Peterson and Barney 1952).
_VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
_SYLLABLE_S = 0.22


def face_picture(seed: int = 0) -> Pixels:
    """Return a drawn face, uint8 [264, 264, 3], RGB."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    picture = np.asarray([150, 165, 180], np.float32) * (0.8 + 0.2 * y[..., None])
    for centre_x, centre_y, half_x, half_y, colour, softness in _HEAD:
        distance = np.hypot((x - centre_x) / half_x, (y - centre_y) / half_y)
        cover = 1 / (1 + np.exp(np.clip((distance - 1) / softness, -60, 60)))[..., None]
        picture = picture * (1 - cover) + np.asarray(colour, np.float32) * cover
    picture += np.random.default_rng(seed).normal(0, 3, picture.shape)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def png(picture: Pixels) -> bytes:
    """Return a picture as PNG.

    Args:
        picture: uint8 [height, width, 3], RGB.
    """
    height, width, _ = picture.shape
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def voice(duration_s: float = 2.5, seed: int = 0) -> Floats:
    """Return vowels in a row, float32 [samples], mono PCM in [-1, 1], 16 000 Hz."""
    samples = int(duration_s * RATE_HZ)
    time = np.arange(samples) / RATE_HZ
    pitch = 120 * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * time) + 0.03 * np.sin(19.5 * time))  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    resonances = _resonances(time)
    sound = np.zeros(samples)
    for harmonic in range(1, 33):
        gain = sum(
            strength / (1 + ((harmonic * pitch - resonances[:, i]) / width) ** 2)
            for i, (strength, width) in enumerate(((1, 70), (0.5, 90), (0.25, 120)))
        )
        sound += gain / harmonic**0.3 * np.sin(harmonic * phase) * (harmonic * pitch < 7800)
    syllables = np.clip(np.sin(np.pi * (time % _SYLLABLE_S) / _SYLLABLE_S) * 1.6, 0, 1)
    sound *= np.convolve(syllables, np.full(160, 1 / 160), "same")
    sound = 0.3 * sound / np.abs(sound).max()
    noise = np.random.default_rng(seed).normal(0, 0.002, samples)
    return np.asarray(sound + noise, np.float32)


def _resonances(time: Floats) -> Floats:
    """Return the three resonances at each time, float64 [samples, 3], gliding between vowels."""
    order = "aieouaeioua"
    now = np.asarray([_VOWELS[order[int(t / _SYLLABLE_S) % len(order)]] for t in time], float)
    window = np.full(800, 1 / 800)
    padded = np.pad(now, ((400, 399), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, i], window, "valid") for i in range(3)], axis=1)


def wav(sound: Floats) -> bytes:
    """Return mono sound at 16 000 Hz as a WAV file of 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


@functools.cache
def still_requests() -> dict[str, dict[str, bytes]]:
    """Return a request for each pipeline that takes no clip: input name -> encoded bytes."""
    picture, sound, words = png(face_picture()), wav(voice()), TEXT.encode()
    return {
        "face": {"image": picture},
        "speech": {"audio": sound},
        "text": {"text": words},
        "emotion": {"images": picture, "audio": sound, "text": words},
    }


@functools.cache
def clip(duration_s: float = 2.5, rate_hz: int = 8) -> bytes:
    """Return the face and the voice as a Matroska clip: MPEG-4 pictures, PCM sound."""
    import av

    file = io.BytesIO()
    options = {"fflags": "+bitexact"}  # no time, no random identifiers in the file
    with av.open(file, "w", format="matroska", options=options) as container:
        video = container.add_stream("mpeg4", rate=rate_hz)
        video.width = video.height = SIDE
        video.pix_fmt, video.bit_rate = "yuv420p", 2_000_000
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for index in range(int(duration_s * rate_hz)):
            frame = av.VideoFrame.from_ndarray(face_picture(index), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        pcm = (voice(duration_s) * 32767).astype("<i2")[None]
        sound = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        sound.sample_rate = RATE_HZ
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return file.getvalue()

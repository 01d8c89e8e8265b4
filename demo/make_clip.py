"""Make a short clip of a speaking person from what installs by package, so that none is in git.

The picture is the photograph of the astronaut Eileen Collins that scikit-image ships (NASA, public
domain); the voice is eSpeak NG's. The mouth does not move: the clip shows the path, not the art.

    python demo/make_clip.py out/demo.mp4
"""

import argparse
import ctypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import espeakng_loader
import numpy as np
import numpy.typing as npt
from skimage import data as pictures

FRAME_RATE_HZ = 25
SIDE_PX = 480
PAUSE_S = 0.9
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Line:
    """A sentence and how it is said: words a minute, pitch 0 to 100, loudness 0 to 200."""

    text: str
    rate_wpm: int
    pitch: int
    volume: int


LINES = (
    Line("What a wonderful surprise, I am so happy to see you!", 175, 75, 120),
    Line("No! That is outrageous. I am furious with all of you.", 190, 30, 190),
    Line("My grandmother died last week, and I miss her so much.", 120, 20, 70),
)
TRANSCRIPT = " ".join(line.text for line in LINES)


class Espeak:
    """eSpeak NG's synthesiser, through the functions of its header `speak_lib.h`."""

    _SYNCHRONOUS, _UTF8 = 2, 1
    _RATE, _VOLUME, _PITCH = 1, 2, 3

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = Path(espeakng_loader.get_data_path()).parent
        rate_hz = self._library.espeak_Initialize(self._SYNCHRONOUS, 0, str(folder).encode(), 0)
        if rate_hz < 0:
            raise OSError(f"eSpeak NG does not start from {folder}")
        self.rate_hz = int(rate_hz)
        self._library.espeak_SetVoiceByName(b"en-us")

    def say(self, line: Line) -> Samples:
        """Return int16 [samples] at `rate_hz`."""
        pieces: list[Samples] = []
        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )

        def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: object) -> int:
            if count > 0:
                pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        callback = callback_type(take)
        self._library.espeak_SetSynthCallback(callback)
        settings = {self._RATE: line.rate_wpm, self._VOLUME: line.volume, self._PITCH: line.pitch}
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        text = line.text.encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 0, 0, self._UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(pieces)


def speech(lines: Sequence[Line]) -> tuple[Samples, int]:
    """Return the sentences with pauses about them, int16 [samples], and their rate in Hz."""
    espeak = Espeak()
    pause = np.zeros(int(PAUSE_S * espeak.rate_hz), np.int16)
    pieces = [piece for line in lines for piece in (espeak.say(line), pause)]
    return np.concatenate([pause, *pieces]), espeak.rate_hz


def frames(count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield uint8 [480, 480, 3] RGB: a slow zoom towards the face."""
    photo = pictures.astronaut()
    height, width = photo.shape[:2]
    for index in range(count):
        share = 0.9 - 0.25 * index / max(count - 1, 1)
        side = share * min(height, width)
        left, top = (width - side) * 0.42, (height - side) * 0.02
        corners = np.float32([[left, top], [left + side, top], [left, top + side]])
        target = np.float32([[0, 0], [SIDE_PX, 0], [0, SIDE_PX]])
        turn = cv2.getAffineTransform(corners, target)
        yield np.asarray(cv2.warpAffine(photo, turn, (SIDE_PX, SIDE_PX)), np.uint8)


def write(path: Path) -> None:
    """Write the clip as MP4: H.264 and AAC."""
    sound, rate_hz = speech(LINES)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.mp4")
    with av.open(str(partial), "w") as container:
        video = container.add_stream("h264", rate=FRAME_RATE_HZ)
        video.width = video.height = SIDE_PX
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=rate_hz, layout="mono")
        for pixels in frames(int(len(sound) / rate_hz * FRAME_RATE_HZ)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    partial.rename(path)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="the MP4 to write")
    path = parser.parse_args(argv).path
    write(path)
    path.with_suffix(".txt").write_text(TRANSCRIPT + "\n", encoding="utf-8")
    print(f"made {path} ({path.stat().st_size / 1e3:.0f} kB) and its transcript")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Files people really have, through `emoserve analyze`: an answer, or one line and exit code 3."""

import io
import json
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emoserve_client.cli import main
from emoserve_export import golden_media

RATE_HZ = 16_000


def clip(seconds: float, *, pictures: bool = True, sound: np.ndarray | None = None) -> bytes:
    """Return an MP4 of the drawn face and a sound, or of only one of them."""
    buffer = io.BytesIO()
    face = golden_media.face_picture()
    with av.open(buffer, "w", format="mp4") as container:
        video = audio = None
        if pictures:
            video = container.add_stream("h264", rate=25)
            video.width = video.height = face.shape[0]
            video.pix_fmt = "yuv420p"
        if sound is not None:
            audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for _ in range(max(1, round(seconds * 25)) if video else 0):
            container.mux(video.encode(av.VideoFrame.from_ndarray(face, format="rgb24")))
        if video:
            container.mux(video.encode(None))
        if audio and sound is not None:
            pcm = (sound[: round(seconds * RATE_HZ)] * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return buffer.getvalue()


def analyze(triton, path: Path, capsys) -> tuple[int, dict, str]:
    """Return the exit code, the JSON and what was said on standard error."""
    answer = path.with_suffix(".json")
    code = main(["analyze", str(path), "--url", triton.grpc_url, "--json", str(answer)])
    said = capsys.readouterr().err
    return code, json.loads(answer.read_text()) if code == 0 else {}, said


VOICE = golden_media.voice()
UNUSABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.mp4": (lambda: b"", "empty|no bytes"),
    "text.mp4": (lambda: b"just some text, renamed\n", "holds text, not a video"),
    "cut.mp4": (lambda: clip(1.0, sound=VOICE)[:4000], "cut off|open"),
    "silence.wav": (lambda: golden_media.wav(np.zeros(32_000, np.float32)), "no speech"),
    "nothing.mp4": (lambda: b"\x00\x00\x00\x20ftypisom" + bytes(24), "open|decodes|cut off"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files_get_one_clear_line(triton, tmp_path, capsys, name: str) -> None:
    make, words = UNUSABLE[name]
    path = tmp_path / name
    path.write_bytes(make())
    code = main(["analyze", str(path), "--url", triton.grpc_url])
    shown = capsys.readouterr()
    if name == "silence.wav":  # a sound without speech is an answer: no speech
        assert code == 0
        assert "no speech" in shown.out
        return
    assert code == 3
    assert name in shown.err
    assert re.search(words, shown.err), shown.err
    assert "Traceback" not in shown.err


ANSWERED = {
    "short.mp4": (lambda: clip(0.1, sound=VOICE), {"face"}),
    "mute.mp4": (lambda: clip(1.0), {"face"}),
    "silent.mp4": (lambda: clip(1.0, sound=np.zeros(16_000, np.float32)), {"face"}),
    "blind.mp4": (lambda: clip(1.0, pictures=False, sound=VOICE), {"speech"}),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_incomplete_clips_say_which_modalities_counted(triton, tmp_path, capsys, name: str) -> None:
    make, expected = ANSWERED[name]
    path = tmp_path / name
    path.write_bytes(make())
    code, answer, said = analyze(triton, path, capsys)
    assert code == 0, said
    counted = {
        modality
        for utterance in answer["analysis"]["utterances"]
        for modality, own in utterance["modalities"].items()
        if own["present"]
    }
    assert counted >= expected
    assert "face" not in counted or name != "blind.mp4"


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("pyfeat_face_noface.mov", {"face"}),
        ("audio/ravdess_03-01-05-02-01-01-05_8k_mulaw.wav", None),
        ("gigindia_sampleVideo_1.mp4", {"face"}),
    ],
)
def test_real_oddities_are_answered(triton, data, tmp_path, capsys, name: str, counted) -> None:
    source = data / "clips" / name
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    code, answer, said = analyze(triton, path, capsys)
    assert code == 0, said
    if counted is not None:
        (utterance,) = answer["analysis"]["utterances"]
        present = {key for key, own in utterance["modalities"].items() if own["present"]}
        assert present == counted


def test_a_clip_with_neither_face_nor_voice_is_unusable(triton, data, capsys) -> None:
    path = data / "clips" / "pyfeat_no_face.mp4"
    assert main(["analyze", str(path), "--url", triton.grpc_url]) == 3
    assert "no face" in capsys.readouterr().err

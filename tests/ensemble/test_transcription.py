import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.decoder import LocalDecoder, decode_sound
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.transcript import Transcript, transcribe
from emoserve_ensemble.transcription import PocketSphinx
from emoserve_ensemble.whisper import Whisper


@pytest.fixture(scope="module")
def sphinx() -> PocketSphinx:
    return PocketSphinx()


def sound(path: Path) -> np.ndarray:
    return decode_sound(path.read_bytes(), LocalDecoder(), Limits())


def test_real_words_are_recognised_with_their_times(data, sphinx) -> None:
    samples = sound(data / "clips/audio/sr_stereo16_44100.flac")
    words = sphinx.words(samples)
    assert [word.text for word in words] == ["one", "two", "three"]
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(samples) / 16_000 + 0.05


def test_one_callers_sound_does_not_colour_the_next(data, sphinx) -> None:
    folder = data / "clips" / "audio"
    files = [
        "ravdess_03-01-05-02-01-01-05.mp3",
        "sr_mono8bit_44100.wav",
        "gigindia_audioSample_2.wav",
    ]
    sounds = [sound(folder / name)[8_000:56_000] for name in files]
    one_way = [[word.text for word in sphinx.words(samples)] for samples in sounds]
    other_way = [[word.text for word in sphinx.words(samples)] for samples in reversed(sounds)]
    assert one_way == other_way[::-1]


def test_too_short_to_hold_a_word(sphinx) -> None:
    assert sphinx.words(np.zeros(800, np.float32)) == []


def test_a_sound_becomes_utterances_with_words(data, sphinx, networks: LocalNetworks) -> None:
    raw = (data / "clips/audio/gigindia_audioSample_2.wav").read_bytes()
    found = transcribe(raw, Tools(networks), sphinx)
    assert isinstance(found, Transcript)
    answer = found.to_json()
    assert answer["source"] == "pocketsphinx"
    assert len(answer["utterances"]) == 2
    for utterance in answer["utterances"]:
        assert utterance["text"] == " ".join(word["text"] for word in utterance["words"])
        for word in utterance["words"]:
            assert utterance["start_time"] <= word["start_time"] < word["end_time"]
            assert word["end_time"] <= utterance["end_time"] + 0.1


def test_silence_has_no_utterances(wav, sphinx, networks) -> None:
    found = transcribe(wav(np.zeros(32_000, np.float32)), Tools(networks), sphinx)
    assert isinstance(found, Transcript)
    assert found.to_json()["utterances"] == []


def tiny_whisper():
    spec = importlib.util.spec_from_file_location(
        "tiny_whisper", Path(__file__).with_name("tiny_whisper.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_whisper_runs_from_a_local_folder(tmp_path) -> None:
    folder = tmp_path / "whisper"
    tiny_whisper().write(folder)
    samples = np.sin(np.arange(32_000) * 0.1).astype(np.float32) * 0.3
    words = Whisper(folder, "en").words(samples)
    assert words
    assert all(set(word.text) <= set("etaoinsr") for word in words)
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert np.all(np.diff(times) > -1e-6)
    assert times[-1] <= 2.1


def test_whisper_says_what_its_folder_lacks(tmp_path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"has no model\.bin: convert .*ct2-transformers"):
        Whisper(tmp_path)


def test_whisper_says_which_extra_brings_it(tmp_path, monkeypatch) -> None:
    for name in ("model.bin", "tokenizer.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ImportError, match=r"emoserve\[whisper\]"):
        Whisper(tmp_path)

"""The recogniser in a child gives the words of the one in this process, and can be stopped."""

import os
import runpy
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.child import ChildError
from emoserve_ensemble.decoder import LocalDecoder, decode_sound
from emoserve_ensemble.errors import CallerGoneError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.recogniser import Recogniser, RecogniserProcess, Recognisers
from emoserve_ensemble.transcription import PocketSphinx

PATIENCE_S = 60.0
LONG = np.random.default_rng(0).normal(0, 0.1, 16_000 * 600).astype(np.float32)  # minutes of work


@pytest.fixture(scope="module")
def recogniser():
    process = RecogniserProcess(Recogniser()).loaded()
    yield process
    process.close()


@pytest.fixture(scope="module")
def spoken(data) -> np.ndarray:
    path: Path = data / "clips/audio/sr_stereo16_44100.flac"
    return decode_sound(path.read_bytes(), LocalDecoder(), Limits())


def test_both_recognisers_give_the_same_words(recogniser, spoken) -> None:
    words = recogniser.words(spoken)
    assert [word.text for word in words] == ["one", "two", "three"]
    assert words == PocketSphinx().words(spoken)
    assert recogniser.words(spoken) == words  # the second time as well
    assert recogniser.words(np.zeros(0, np.float32)) == []


def test_a_caller_who_goes_away_stops_the_work(recogniser, spoken) -> None:
    before = recogniser._child.pid
    gone = threading.Event()
    threading.Timer(0.5, gone.set).start()
    with pytest.raises(CallerGoneError):
        recogniser.words(LONG, gone.is_set)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert [word.text for word in recogniser.words(spoken)] == ["one", "two", "three"]
    assert recogniser._child.pid != before


def test_a_caller_who_has_gone_costs_nothing(recogniser) -> None:
    before = recogniser._child.pid
    with pytest.raises(CallerGoneError):
        recogniser.words(LONG, lambda: True)
    assert recogniser._child.pid == before


def test_a_crash_loses_one_utterance_only(recogniser, spoken) -> None:
    child = recogniser._child.pid
    threading.Timer(0.5, os.kill, (child, signal.SIGSEGV)).start()
    with pytest.raises(ChildError, match="the recogniser pocketsphinx: it crashed"):
        recogniser.words(LONG)
    assert [word.text for word in recogniser.words(spoken)] == ["one", "two", "three"]


def test_several_recognise_at_the_same_time_and_who_leaves_need_not_wait_for_one(spoken) -> None:
    recognisers = Recognisers(Recogniser(), 2)
    try:
        gone = threading.Event()
        with ThreadPoolExecutor(3) as threads:
            try:
                busy = [threads.submit(recognisers.words, LONG, gone.is_set) for _ in range(2)]
                while not recognisers._free.empty():
                    time.sleep(0.01)
                with pytest.raises(CallerGoneError):
                    recognisers.words(spoken, lambda: True)
                waiting = threads.submit(recognisers.words, spoken)
            finally:
                gone.set()
            for each in busy:
                assert isinstance(each.exception(PATIENCE_S), CallerGoneError)
            assert [word.text for word in waiting.result(PATIENCE_S)] == ["one", "two", "three"]
        assert recognisers.ways == recognisers._free.qsize() == 2
        assert recognisers.name == "pocketsphinx"
    finally:
        recognisers.close()


def test_whisper_runs_in_the_child_too(tmp_path) -> None:
    pytest.importorskip("faster_whisper")
    runpy.run_path(str(Path(__file__).with_name("tiny_whisper.py")))["write"](tmp_path / "tiny")
    process = RecogniserProcess(Recogniser("whisper", str(tmp_path / "tiny"), "en"))
    samples = np.sin(np.arange(32_000) * 0.1).astype(np.float32) * 0.3
    words = process.words(samples)
    process.close()
    # At random weights it falls back to sampling, so the words differ from run to run.
    assert words
    assert all(set(word.text) <= set("etaoinsr") for word in words)


def test_a_recogniser_that_cannot_be_loaded_says_why(tmp_path) -> None:
    with pytest.raises(ChildError, match=r"whisper: .* has no model\.bin .*: convert"):
        RecogniserProcess(Recogniser("whisper", str(tmp_path))).loaded()
    with pytest.raises(ValueError, match="pocketsphinx and whisper are known"):
        Recogniser("kaldi")

"""Pictures are analysed in a process that may die: alone, and under the hands of a step."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.decoder import LocalDecoder
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face import analyze_images
from emoserve_ensemble.face_process import FaceProcess
from emoserve_ensemble.faces import Faces, packed, unpacked
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks
from emoserve_ensemble.tools import Tools
from emoserve_export import golden_media


@pytest.fixture(scope="module")
def face() -> bytes:
    return golden_media.png(golden_media.face_picture())


@pytest.fixture(scope="module")
def nobody() -> bytes:
    return golden_media.png(np.full((64, 64, 3), 127, np.uint8))


@pytest.fixture
def process(repository: Path) -> Iterator[FaceProcess]:
    made = FaceProcess(repository, 1, Limits(), stall_s=20)
    yield made
    made.close()


def same(one: Faces | InputError, other: Faces | InputError) -> None:
    if isinstance(one, InputError) or isinstance(other, InputError):
        assert (one.reason, one.message) == (other.reason, other.message)  # type: ignore[union-attr]
        return
    assert one.size == other.size
    for name in ("boxes", "detection", "landmarks"):
        np.testing.assert_array_equal(getattr(one.found, name), getattr(other.found, name))
    for name in ("emotion", "embedding", "quality"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_it_answers_as_the_pipeline_does(
    process: FaceProcess, networks: Networks, face: bytes, nobody: bytes
) -> None:
    images = [face, b"", nobody, face[:100], face]
    wanted = analyze_images(images, Tools(networks, decoder=LocalDecoder()))
    for one, other in zip(process.analyze(images), wanted, strict=True):
        same(one, other)
    assert set(process.versions) == {"face_pnet", "face_rnet", "face_onet", "face_net"}


def test_packed_faces_come_out_as_they_went_in(
    networks: Networks, face: bytes, nobody: bytes
) -> None:
    answers = analyze_images([nobody, face, b"GIF89a", face], Tools(networks))
    for one, other in zip(unpacked(*packed(answers)), answers, strict=True):
        same(one, other)
    assert unpacked(*packed(answers[2:3]))[0].reason == "unsupported"  # type: ignore[union-attr]


def test_a_crash_is_asked_again_one_by_one(process: FaceProcess, face: bytes) -> None:
    process.analyze([face])
    first = process._child.pid
    os.kill(first, signal.SIGSTOP)  # so that it is still at work when it dies
    threading.Timer(0.3, os.kill, (first, signal.SIGKILL)).start()
    assert [len(answer) for answer in process.analyze([face, face])] == [1, 1]  # type: ignore[arg-type]
    second = process._child.pid
    assert second != first
    os.kill(second, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (second, signal.SIGKILL)).start()
    (lost,) = process.analyze([face])
    assert isinstance(lost, InputError)
    assert (lost.reason, lost.message) == ("undecodable", "image: the decoder crashed on it")
    assert [len(answer) for answer in process.analyze([face])] == [1]  # type: ignore[arg-type]


def test_a_picture_that_takes_for_ever_is_given_up(repository: Path, face: bytes) -> None:
    process = FaceProcess(repository, 1, Limits(), stall_s=0.3)
    process.versions  # noqa: B018  loaded
    os.kill(process._child.pid, signal.SIGSTOP)
    (late,) = process.analyze([face])
    assert isinstance(late, InputError)
    assert late.reason == "timeout"
    process.close()


def test_an_unusable_repository_says_so(tmp_path: Path) -> None:
    process = FaceProcess(tmp_path, 1, Limits())
    with pytest.raises(Exception, match="crashed"):
        process.versions  # noqa: B018
    process.close()

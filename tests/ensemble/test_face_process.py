"""Pictures are analysed in a process that may die: alone, and under the hands of a step."""

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble import face_worker
from emoserve_ensemble.decoder import LocalDecoder
from emoserve_ensemble.emotion import Given, analyze_moments
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face import analyze_images
from emoserve_ensemble.face_process import _JOBS_AHEAD, FaceProcesses, _groups, _Job
from emoserve_ensemble.faces import NETWORKS, Faces, packed, unpacked
from emoserve_ensemble.fusion import Fused
from emoserve_ensemble.images import Picture
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools
from emoserve_export import golden_media


@pytest.fixture(scope="module")
def face() -> bytes:
    return golden_media.png(golden_media.face_picture())


@pytest.fixture(scope="module")
def nobody() -> bytes:
    return golden_media.png(np.full((64, 64, 3), 127, np.uint8))


@pytest.fixture(scope="module")
def slow() -> bytes:
    """Return a picture that takes about a second."""
    return golden_media.png(np.tile(golden_media.face_picture(), (16, 16, 1)))


@pytest.fixture
def processes(repository: Path) -> Iterator[FaceProcesses]:
    made = FaceProcesses(1, repository, 1, Limits(), stall_s=20)
    yield made
    made.close()


def pid(processes: FaceProcesses) -> int:
    """Return the id of the first one."""
    return processes._all[0].pid


def stop(pid: int) -> None:
    """Return when a process stands still: asleep in a wait, it would take a job yet."""
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def wait_until_taken(processes: FaceProcesses) -> None:
    """Return when a process is at work on the last job."""
    while select.select([processes._theirs], [], [], 0)[0]:
        processes._tend()
        time.sleep(0.001)


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
    processes: FaceProcesses, networks: Networks, face: bytes, nobody: bytes
) -> None:
    images = [face, b"", nobody, face[:100], face]
    wanted = analyze_images(images, Tools(networks, decoder=LocalDecoder()))
    for one, other in zip(processes.analyze(images), wanted, strict=True):
        same(one, other)
    assert set(processes.loaded()) == {"face_pnet", "face_rnet", "face_onet", "face_net"}


def test_packed_faces_come_out_as_they_went_in(
    networks: Networks, face: bytes, nobody: bytes
) -> None:
    answers = analyze_images([nobody, face, b"GIF89a", face], Tools(networks))
    for one, other in zip(unpacked(*packed(answers)), answers, strict=True):
        same(one, other)
    assert unpacked(*packed(answers[2:3]))[0].reason == "unsupported"  # type: ignore[union-attr]


def test_a_crash_is_asked_again_one_by_one(processes: FaceProcesses, slow: bytes) -> None:
    processes.loaded()
    first = pid(processes)
    with processes.ahead([slow, slow]) as found:
        wait_until_taken(processes)
        os.kill(first, signal.SIGKILL)
        one, other = found()
    assert len(one) == len(other) > 1  # type: ignore[arg-type]
    assert pid(processes) != first


def test_a_picture_is_lost_that_crashes_twice(
    processes: FaceProcesses, face: bytes, slow: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    def arrives(job: _Job) -> bool:
        wait_until_taken(processes)
        killed.append(pid(processes))
        os.kill(pid(processes), signal.SIGKILL)
        return True

    monkeypatch.setattr(_Job, "arrives", arrives)
    (lost,) = processes.analyze([slow])
    assert isinstance(lost, InputError)
    assert (lost.reason, lost.message) == ("undecodable", "image: the decoder crashed on it")
    assert len(set(killed)) == 2
    monkeypatch.undo()
    assert [len(answer) for answer in processes.analyze([face])] == [1]  # type: ignore[arg-type]


def test_pictures_are_analysed_while_the_caller_does_something_else(
    processes: FaceProcesses, face: bytes, nobody: bytes
) -> None:
    with processes.ahead([face, b"", nobody]) as found:
        pass_by = sum(range(1000))
        first, empty, last = found()
    assert pass_by == 499500
    assert isinstance(empty, InputError)
    assert [len(first), len(last)] == [1, 0]  # type: ignore[arg-type]


def test_an_answer_that_nobody_took_is_not_the_next_ones(
    processes: FaceProcesses, face: bytes, nobody: bytes
) -> None:
    with processes.ahead([face]):
        first = pid(processes)
    with pytest.raises(ZeroDivisionError), processes.ahead([face]):
        1 / 0  # noqa: B018
    assert [len(answer) for answer in processes.analyze([nobody])] == [0]  # type: ignore[arg-type]
    assert pid(processes) == first


def test_a_process_that_dies_before_it_takes_a_job_costs_nothing(
    processes: FaceProcesses, face: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.loaded()
    monkeypatch.setattr(processes, "_alone", None)  # nothing is asked again
    first = pid(processes)
    stop(first)
    with processes.ahead([face, face]) as found:
        os.kill(first, signal.SIGKILL)
        assert [len(answer) for answer in found()] == [1, 1]  # type: ignore[arg-type]
    assert pid(processes) != first


@pytest.fixture
def two(repository: Path) -> Iterator[FaceProcesses]:
    made = FaceProcesses(2, repository, 1, Limits())
    made.loaded()
    yield made
    made.close()


def test_whoever_is_free_takes_the_next_job(two: FaceProcesses, face: bytes) -> None:
    stop(pid(two))
    for _ in range(5):
        assert [len(answer) for answer in two.analyze([face])] == [1]  # type: ignore[arg-type]
    os.kill(pid(two), signal.SIGCONT)


def test_who_died_at_rest_is_started_again_while_others_answer(
    two: FaceProcesses, nobody: bytes
) -> None:
    os.kill(two._all[1].pid, signal.SIGKILL)
    until_s = time.monotonic() + 60
    while not two._all[1].alive and time.monotonic() < until_s:
        assert [len(answer) for answer in two.analyze([nobody])] == [0]  # type: ignore[arg-type]
    assert all(child.alive for child in two._all)


def test_nobody_gets_anothers_answer_while_processes_die(
    two: FaceProcesses, face: bytes, nobody: bytes
) -> None:
    def ask(caller: int) -> set[tuple[int, ...]]:
        images = [[face], [nobody, face], [nobody, nobody, face]][caller]
        return {tuple(len(answer) for answer in two.analyze(images)) for _ in range(20)}  # type: ignore[arg-type]

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, caller) for caller in range(3)]
        os.kill(pid(two), signal.SIGKILL)
        assert [one.result() for one in asked] == [{(1,)}, {(0, 1)}, {(0, 0, 1)}]


def test_where_none_starts_any_more_that_is_said(
    repository: Path, tmp_path: Path, nobody: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoserve_ensemble.face_process._RESTART_S", 0.0)
    copy = tmp_path / "repository"
    for name in NETWORKS:
        shutil.copytree(repository / name, copy / name)
    processes = FaceProcesses(1, copy, 1, Limits())
    processes.loaded()
    shutil.rmtree(copy)
    os.kill(pid(processes), signal.SIGKILL)
    with pytest.raises(RuntimeError, match="do not start"):
        processes.analyze([nobody])
    processes.close()


def test_callers_wait_for_their_own_answers_and_all_processes_close(
    repository: Path, face: bytes, nobody: bytes
) -> None:
    processes = FaceProcesses(2, repository, 1, Limits())
    assert set(processes.loaded()) == {"face_pnet", "face_rnet", "face_onet", "face_net"}
    with processes.ahead([]) as none, processes.ahead([face]) as one:
        with processes.ahead([nobody, face]) as other:
            assert [len(answer) for answer in other()] == [0, 1]  # type: ignore[arg-type]
        assert [len(answer) for answer in one()] == [1]  # type: ignore[arg-type]
        assert none() == []
    with processes.ahead([nobody]) as one, processes.ahead([face]) as other:
        assert [len(answer) for answer in other()] == [1]  # type: ignore[arg-type]
        with processes.ahead([face]) as next_one:
            assert [len(answer) for answer in next_one()] == [1]  # type: ignore[arg-type]
        assert [len(answer) for answer in one()] == [0]  # type: ignore[arg-type]
    assert [len(answer) for answer in processes.analyze([face])] == [1]  # type: ignore[arg-type]
    processes.close()
    assert not any(child.alive for child in processes._all)


def test_moments_with_pictures_analysed_elsewhere_answer_the_same(
    repository: Path, networks: Networks, tokenizer: Tokenizer, face: bytes, nobody: bytes
) -> None:
    given = [
        Given((face, nobody), golden_media.wav(golden_media.voice()), b"I am so happy!"),
        Given((face[:50],), None, b"fine"),
        Given((), None, b"Oh no."),
        Given((face,)),
        Given((nobody,)),
    ]
    here = Tools(networks, tokenizer)
    processes = FaceProcesses(1, repository, 1, Limits())
    elsewhere = analyze_moments(given, replace(here, finder=processes))
    processes.close()
    for one, other in zip(analyze_moments(given, here), elsewhere, strict=True):
        if isinstance(one, InputError):
            assert isinstance(other, InputError)
            assert (one.reason, one.message) == (other.reason, other.message)
        else:
            assert isinstance(other, Fused)
            assert one.to_json() == other.to_json()


def test_many_pictures_are_handed_over_in_several_jobs_a_few_at_a_time(
    processes: FaceProcesses, face: bytes, nobody: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoserve_ensemble.images._JOB_PICTURES", 2)
    images = [nobody] * 40 + [b"", face]
    before = open_files()
    with processes.ahead(images) as found:
        assert open_files() <= before + _JOBS_AHEAD
        *none, empty, one = found()
    assert [len(each) for each in none] == [0] * 40  # type: ignore[arg-type]
    assert isinstance(empty, InputError)
    assert len(one) == 1  # type: ignore[arg-type]
    assert open_files() == before


def test_a_job_holds_so_many_pictures_or_pixels() -> None:
    small, large, huge = (64, 64), (4000, 3000), (7000, 5000)
    sizes = [small] * 70 + [large, large, large, huge, small]
    jobs = _groups([Picture(bytes([index]), size) for index, size in enumerate(sizes)])
    assert [len(job) for job in jobs] == [32, 32, 7, 2, 1, 1]
    assert b"".join(b"".join(job) for job in jobs) == bytes(range(75))
    assert _groups([]) == []


def test_a_picture_that_takes_too_much_memory_loses_itself_only(
    networks: Networks, face: bytes, nobody: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(images: Sequence[bytes], tools: Tools) -> list[Faces | InputError]:
        if nobody in images:
            raise MemoryError
        return analyze_images(images, tools)

    monkeypatch.setattr(face_worker, "analyze_images", hungry)
    first, refused, last = face_worker._analyzed([face, nobody, face], Tools(networks))
    assert len(first) == len(last) == 1  # type: ignore[arg-type]
    assert isinstance(refused, InputError)
    assert refused.reason == "too_large"


def test_a_picture_that_takes_for_ever_is_given_up(
    repository: Path, nobody: bytes, slow: bytes
) -> None:
    processes = FaceProcesses(1, repository, 1, Limits(), stall_s=0.3)
    processes.loaded()
    first, late, last = processes.analyze([nobody, slow, nobody])
    assert [len(first), len(last)] == [0, 0]  # type: ignore[arg-type]
    assert isinstance(late, InputError)
    assert late.reason == "timeout"
    assert "nothing for 0.3 s" in late.message
    processes.close()


def test_an_unusable_repository_says_so(tmp_path: Path) -> None:
    processes = FaceProcesses(1, tmp_path, 1, Limits())
    with pytest.raises(Exception, match="crashed"):
        processes.loaded()
    processes.close()

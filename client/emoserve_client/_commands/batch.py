"""Many files through one client: some at a time, each result kept as soon as it is there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoserve_client._client import EmotionClient
from emoserve_client._commands.files import pipeline_of
from emoserve_client._reports.records import Analysis, Record
from emoserve_client._results import Utterance
from emoserve_client.errors import EmoserveError, InputError, UnreachableError


class Watch:
    """Told how far each file is. Called from several threads."""

    def started(self, path: Path) -> None: ...

    def advanced(self, path: Path, utterance: Utterance) -> None: ...

    def finished(self, record: Record) -> None: ...


@dataclass(frozen=True)
class Job:
    """What to do with each file; `pipeline` empty means by its content."""

    pipeline: str = ""
    transcript: str | None = None


def run(
    client: EmotionClient, paths: Sequence[Path], job: Job, workers: int, watch: Watch
) -> Iterator[Record]:
    """A record for each file, in the order in which they are done.

    A file that cannot be used gives a record with its error. Without a server there is no point in
    going on: that error is raised.

    Raises:
        UnreachableError: no server answers.
    """
    waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
    done: queue.SimpleQueue[Record | BaseException] = queue.SimpleQueue()
    for path in paths:
        waiting.put(path)

    def work() -> None:
        while True:
            try:
                done.put(_analyze(client, waiting.get_nowait(), job, watch))
            except queue.Empty:
                return
            except BaseException as err:  # noqa: BLE001 - handed to the thread that waits for it
                done.put(err)
                return

    # Daemons: Ctrl-C must not wait for a clip of an hour.
    for _ in range(min(workers, len(paths))):
        threading.Thread(target=work, name="emoserve-analyze", daemon=True).start()
    for _ in paths:
        record = done.get()
        if isinstance(record, BaseException):
            raise record
        yield record


def _analyze(client: EmotionClient, path: Path, job: Job, watch: Watch) -> Record:
    watch.started(path)
    pipeline, size_bytes = job.pipeline, 0
    try:
        pipeline = pipeline or pipeline_of(path)
        size_bytes = path.stat().st_size
        call = _CALLS[pipeline]
        record = Record(str(path), pipeline, size_bytes, call(client, path, job.transcript, watch))
    except UnreachableError:
        raise
    except EmoserveError as err:
        record = Record(str(path), pipeline, size_bytes, None, err)
    watch.finished(record)
    return record


def _video(client: EmotionClient, path: Path, transcript: str | None, watch: Watch) -> Analysis:
    def note(utterance: Utterance) -> None:
        watch.advanced(path, utterance)

    return client.video(path, transcript=transcript, on_utterance=note)


def _text(client: EmotionClient, path: Path, _: str | None, __: Watch) -> Analysis:
    try:
        words = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise InputError(f"{path}: not UTF-8 text: {err}", reason="not_utf8") from err
    return client.text(words)


_CALLS: dict[str, Callable[[EmotionClient, Path, str | None, Watch], Analysis]] = {
    "face": lambda client, path, _, __: client.face(path),
    "speech": lambda client, path, _, __: client.speech(path),
    "text": _text,
    "video": _video,
}

"""The progress bar of `emoserve analyze`, on standard error, and only where a person looks."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from emoserve_client._commands.batch import Watch
from emoserve_client._reports.records import Record
from emoserve_client._results import Utterance
from emoserve_client._tables import clock


class Bar(Watch):
    """A line for all files, and one for each file that is being analysed."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._all = self._progress.add_task("files", total=total, visible=total > 1, note="")
        self._files: dict[str, tuple[TaskID, int]] = {}

    def started(self, path: Path) -> None:
        task = self._progress.add_task(path.name, total=None, note="sent")
        self._files[str(path)] = (task, 0)

    def advanced(self, path: Path, utterance: Utterance) -> None:
        task, count = self._files[str(path)]
        self._files[str(path)] = (task, count + 1)
        note = f"{count + 1} utterances, {clock(utterance.end_time)} done"
        self._progress.update(task, completed=count + 1, note=note)

    def finished(self, record: Record) -> None:
        task, _ = self._files.pop(record.file)
        self._progress.remove_task(task)
        self._progress.advance(self._all)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

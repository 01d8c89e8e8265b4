"""Where the results go: the table, and the files that the command line asks for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from emoserve_client._reports import csv_rows, subtitles
from emoserve_client._reports.records import Record
from emoserve_client._results import VideoAnalysis
from emoserve_client.errors import InputError

DESCRIPTIONS = {
    "json": "one object; of several files an array of them",
    "jsonl": "one line a file, as soon as it is done",
    "csv": "one row an utterance, face, window or text",
    "plot": "a picture of the timeline; of several files a folder of them",
    "html": "one page with everything in it",
    "vtt": "subtitles with emotions, WebVTT; of several clips a folder",
    "srt": "the same as SRT",
}
STDOUT = "-"
_ONE_EACH = ("plot", "vtt", "srt")


@dataclass(frozen=True)
class Outputs:
    """What to write, by kind; `several` makes folders of those that hold one file each."""

    wanted: dict[str, str]
    several: bool
    quiet: bool = False
    suffix: dict[str, str] = field(
        default_factory=lambda: {"plot": ".png", "vtt": ".vtt", "srt": ".srt"}
    )

    @staticmethod
    def of(options: argparse.Namespace, *, several: bool) -> Outputs:
        """The outputs that the options ask for, checked before any work is done.

        Raises:
            InputError: an output cannot be written, or what draws it is not installed.
        """
        wanted = {name: value for name in DESCRIPTIONS if (value := getattr(options, name))}
        quiet = options.quiet or STDOUT in wanted.values()
        made = Outputs(wanted, several, quiet)
        made._check()
        return made

    def _check(self) -> None:
        for name, value in self.wanted.items():
            if value == STDOUT:
                if name in ("plot", "html"):
                    raise InputError(f"--{name} needs a file, not -", reason="bad_option")
                continue
            folder = Path(value) if self._is_folder(name) else Path(value).parent
            if self._is_folder(name):
                folder.mkdir(parents=True, exist_ok=True)
            elif not folder.is_dir():
                raise InputError(f"--{name}: there is no folder {folder}", reason="bad_option")
        if "plot" in self.wanted:
            from emoserve_client._reports.picture import check

            check()

    def _is_folder(self, name: str) -> bool:
        return self.several and name in _ONE_EACH

    @contextmanager
    def lines(self, *, append: bool) -> Iterator[Callable[[Record], None]]:
        """A function that adds a record to the JSON Lines file at once, to resume from it."""
        if "jsonl" not in self.wanted:
            yield lambda _: None
            return
        with _open(self.wanted["jsonl"], "a" if append else "w") as sink:

            def note(record: Record) -> None:
                sink.write(record.line() + "\n")
                sink.flush()

            yield note

    def write(self, records: Sequence[Record]) -> None:
        """Shows the table and writes all files but the JSON Lines, which are there already."""
        if not self.quiet:
            _show(records)
        if "json" in self.wanted:
            documents = [record.document() for record in records]
            body: Any = documents if self.several else documents[0]
            with _open(self.wanted["json"], "w") as sink:
                sink.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
        if "csv" in self.wanted:
            with _open(self.wanted["csv"], "w") as sink:
                csv_rows.write(records, sink)
        if "html" in self.wanted:
            from emoserve_client._reports import page

            Path(self.wanted["html"]).write_text(page.render(records), encoding="utf-8")
        self._write_each(records)

    def _write_each(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record.analysis, VideoAnalysis):
                self._write_text("vtt", record, subtitles.webvtt(record.analysis))
                self._write_text("srt", record, subtitles.srt(record.analysis))
            if "plot" in self.wanted and record.analysis is not None:
                from emoserve_client._reports.picture import draw

                draw(record, self._path("plot", record))

    def _write_text(self, name: str, record: Record, text: str) -> None:
        if name not in self.wanted:
            return
        if self.wanted[name] == STDOUT:
            sys.stdout.write(text)
        else:
            self._path(name, record).write_text(text, encoding="utf-8")

    def _path(self, name: str, record: Record) -> Path:
        if not self._is_folder(name):
            return Path(self.wanted[name])
        flat = record.file.strip("./\\").replace("/", "_").replace("\\", "_")
        return Path(self.wanted[name]) / (flat + self.suffix[name])


@contextmanager
def _open(path: str, mode: str) -> Iterator[IO[str]]:
    if path == STDOUT:
        yield sys.stdout
        return
    with Path(path).open(mode, encoding="utf-8") as sink:
        if mode == "a" and not _ends_a_line(Path(path)):
            sink.write("\n")  # an interruption has cut the last line short
        yield sink


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as source:
        size = source.seek(0, 2)
        source.seek(max(0, size - 1))
        return source.read() in (b"", b"\n")


def _show(records: Sequence[Record]) -> None:
    from rich.console import Console
    from rich.rule import Rule

    console = Console(highlight=False)
    for record in records:
        if record.analysis is None:
            continue
        console.print(Rule(record.file, align="left", style="dim"))
        console.print(record.analysis)
        models = record.analysis.models.items()
        versions = ", ".join(f"{name} {version}" for name, version in models)
        console.print(f"[dim]{versions}[/]")

"""`emoserve live`: camera and microphone, or a file played at its own speed, on a board."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emoserve_client._client import EmotionClient
from emoserve_client._commands import server
from emoserve_client.cli import DONE
from emoserve_client.errors import InputError, NoAnswerError, UnreachableError

if TYPE_CHECKING:
    from emoserve_client._live.board import Board
    from emoserve_client._live.moments import Moment

_EXAMPLES = """\
  emoserve live                     camera 0 and the microphone
  emoserve live clip.mp4            a file, played at its own speed
  emoserve live --camera 1 --no-sound --jsonl session.jsonl
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = server.parser("live", "Emotions as they come.", _EXAMPLES)
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="play this instead of the camera")
    add("--camera", type=int, default=0, metavar="N", help="which camera (default: 0)")
    add("--no-sound", action="store_true", help="leave the microphone alone")
    add("--hop", type=float, default=0.5, metavar="SECONDS", help="between answers (default: 0.5)")
    add("--window", type=float, default=3.0, metavar="SECONDS", help="of sound (default: 3)")
    add("--seconds", type=float, metavar="SECONDS", help="end after so long")
    add("--jsonl", metavar="FILE", help="write each answer as a line, with its time")
    options = parser.parse_args(argv)
    if min(options.hop, options.window) <= 0:
        parser.error("--hop and --window must be more than 0")
    return server.guarded(lambda: _live(options))


def _live(options: argparse.Namespace) -> int:
    from emoserve_client._live.board import Board
    from emoserve_client._live.moments import DeviceSource, FileSource, Source

    source: Source
    if options.file:
        source = FileSource(options.file)
    else:
        source = DeviceSource(options.camera, microphone=not options.no_sound)
    with server.client(options) as client, _lines(options.jsonl) as note:
        board = Board(source.name, client.url)
        with _screen(board) as refresh:
            for moment in source.moments(options.hop, options.window):
                if options.seconds and moment.time_s > options.seconds:
                    break
                _ask(client, moment, board, note)
                refresh()
    best = ", ".join(f"{label} {count}" for label, count in board.counts.most_common(3))
    print(f"{sum(board.counts.values())} answers: {best or 'nobody seen or heard'}")
    return DONE


def _ask(client: EmotionClient, moment: Moment, board: Board, note: Callable[..., None]) -> None:
    """Asks about one moment; only a server that was never there ends it all."""
    from emoserve_client._live.moments import RATE_HZ

    started = time.monotonic()
    try:
        answer = client.emotion(images=moment.frame, audio=moment.sound, rate_hz=RATE_HZ)
    except InputError as err:
        if err.reason not in ("nothing_to_analyze", "nothing_given", "too_short"):
            raise
        board.missed(moment.time_s, "nobody seen or heard")
    except NoAnswerError as err:
        if isinstance(err, UnreachableError) and not board.counts:
            raise
        board.missed(moment.time_s, err.message)
    else:
        board.answered(moment.time_s, answer, time.monotonic() - started)
        note({"time": round(moment.time_s, 3), **answer.to_dict()})


@contextmanager
def _screen(board: Board) -> Iterator[Callable[[], None]]:
    """A function that shows the board anew: in place, or as a line where nobody looks."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if not console.is_terminal:
        yield lambda: print(board.line(), flush=True)
        return
    with Live(board, console=console, auto_refresh=False) as live:
        try:
            yield live.refresh
        except KeyboardInterrupt:
            live.stop()  # Ctrl-C is how one leaves


@contextmanager
def _lines(path: str | None) -> Iterator[Callable[[dict[str, object]], None]]:
    """A function that writes a line of JSON."""
    if path is None:
        yield lambda _: None
        return
    try:
        sink = sys.stdout if path == "-" else Path(path).open("w", encoding="utf-8")  # noqa: SIM115
    except OSError as err:
        raise InputError(
            f"--jsonl: cannot write {path}: {err.strerror}", reason="bad_option"
        ) from err

    def note(answer: dict[str, object]) -> None:
        sink.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sink.flush()

    try:
        yield note
    finally:
        if sink is not sys.stdout:
            sink.close()

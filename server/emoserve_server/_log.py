"""Triton's log: followed while it grows, and reduced to the lines that tell a failure."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from typing import TextIO

_LOADED = re.compile(r"successfully loaded '([^']+)'")
_ERROR = re.compile(r"^E\d{4} |^error:|Internal - |Traceback|^\w*Error: ")
# Said on every machine without a GPU, or once more in the next line.
_REPEATED = re.compile(r"CudaDriverHelper|ERROR: Failed to create instance|^error: creating server")
_NOISE = re.compile(r"^[IWV]\d{4} |^\s*$|^[|+]")

_HINTS = (
    (
        re.compile(r"libpython[\d.]+so[\d.]*: cannot open"),
        "Triton's Python backend misses libpython: run `emoserve doctor`",
    ),
    (
        re.compile(r"No module named '(\w+)'"),
        "Python package '{0}' is missing where the models run: pip install 'emoserve[ensemble]'",
    ),
    (
        re.compile(r"unable to find '([^']+\.onnx)'|model file ([^ ]+\.onnx) is missing"),
        "a network's file is missing: make it with `emoserve export`",
    ),
    (
        re.compile(r"[Nn]o space left on device|Unable to initialize shared memory"),
        "/dev/shm is full or too small: see `df -h /dev/shm`; in a container give --shm-size=1g",
    ),
    (re.compile(r"[Aa]ddress already in use"), "a port was taken meanwhile: choose another"),
)


class LogReader:
    """Reads what was added to a log file since the last call."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r", encoding="utf-8", errors="replace")
        self._rest = ""
        self.loaded: set[str] = set()

    def new_lines(self) -> list[str]:
        """Return the lines completed since the last call, and note the models they name."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            if match := _LOADED.search(line):
                self.loaded.add(match[1])
        return lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Relay:
    """Copies a growing log to a stream, four times a second, until it is closed."""

    def __init__(self, path: Path, stream: TextIO | None = None) -> None:
        self._reader = LogReader(path)
        self._stream = sys.stderr if stream is None else stream
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="triton-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        for line in self._reader.new_lines():
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Copy what is left and end."""
        self._ended.set()
        self._thread.join()
        self._reader.close()


def telling_lines(path: Path, limit: int = 15) -> tuple[str, ...]:
    """Return the lines of a log that say what failed, each once, at most `limit`.

    Where none is marked as an error, the last five are returned.
    """
    kept: dict[str, None] = {}
    following = False
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        if _REPEATED.search(line):
            following = False
        elif _ERROR.search(line):
            following = True
            kept[_readable(line)] = None
        elif following and not _NOISE.match(line):
            kept[line.rstrip()] = None
        else:
            following = False
    return tuple(kept)[-limit:] or tuple(lines[-5:])


def _readable(line: str) -> str:
    """Return an error line without its stamp, and of its Python frames the first of a file.

    Triton writes `E1121 08:57:46.123 77 file.cc:12] "what\\n\\nAt:\\n  frame\\n  frame"`.
    """
    text = re.sub(r"^E\d{4} [^\]]*\] ", "", line).strip().strip('"')
    what, _, frames = text.partition(r"\n\nAt:\n")
    places = [frame.strip() for frame in frames.split(r"\n") if not frame.strip().startswith("<")]
    return f"{what} (at {places[0]})" if frames and places else what


def hints(path: Path) -> tuple[str, ...]:
    """Return what to do about a failed start, as far as the log tells."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = ((pattern.search(text), advice) for pattern, advice in _HINTS)
    return tuple(advice.format(*match.groups()) for match, advice in found if match)

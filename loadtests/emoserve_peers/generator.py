"""Load by `h2load` (C, Debian's nghttp2-client): the same generator for HTTP/1.1 and for gRPC.

A closed loop of callers with kept connections. Each of several h2load processes sends one of the
workload's bodies, so that a server never sees the same request only. Rates count the answers that
end inside the window, after a warm-up: requests in flight at either end of it do no harm.
"""

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emoserve_peers.errors import GeneratorError
from emoserve_peers.messages import Message

PROGRAM = "h2load"
_SLACK_S = 60.0  # how much longer than asked it may take


@dataclass(frozen=True)
class Load:
    """What one measurement saw.

    Attributes:
        rate_hz: good answers per second.
        latencies_s: float64 [answers], of the good ones.
        errors: answers with another status than 200, and broken connections.
        generator_s: processor seconds of the generator per answer.
        others_cores: cores that programs of others kept busy meanwhile.
    """

    rate_hz: float
    latencies_s: npt.NDArray[np.float64]
    errors: int
    generator_s: float = 0.0
    others_cores: float = 0.0

    def percentile_ms(self, percent: float) -> float:
        """Return a latency's percentile; NaN without any answer."""
        return float(np.percentile(self.latencies_s, percent)) * 1e3 if self.count else float("nan")

    @property
    def count(self) -> int:
        return len(self.latencies_s)


def require_generator() -> None:
    """Raise `GeneratorError` where h2load is not installed."""
    if shutil.which(PROGRAM) is None:
        raise GeneratorError(f"{PROGRAM} is missing: apt-get install nghttp2-client")


def split(callers: int, ways: int) -> list[int]:
    """Return how many callers each of at most `ways` groups has, none of them empty."""
    ways = min(callers, ways)
    return [callers // ways + (index < callers % ways) for index in range(ways)]


def generate(
    address: str, messages: Sequence[Message], callers: int, warmup_s: float, window_s: float
) -> Load:
    """Return what `callers` callers in a closed loop saw in the window after the warm-up.

    Raises:
        GeneratorError: h2load failed.
    """
    spent = _processor_s()
    with tempfile.TemporaryDirectory(prefix="emoserve-bench-") as folder:
        running = [
            _start(address, message, share, warmup_s + window_s, Path(folder) / str(index))
            for index, (message, share) in enumerate(
                zip(messages, split(callers, len(messages)), strict=False)
            )
        ]
        for process in running:
            _finish(process, warmup_s + window_s + _SLACK_S)
        rows = np.concatenate([_rows(Path(folder) / f"{n}.log") for n in range(len(running))])
    load = in_window(rows, warmup_s, window_s)
    spent = _processor_s() - spent
    return Load(load.rate_hz, load.latencies_s, load.errors, spent / max(1, len(rows)))


def in_window(rows: npt.NDArray[np.int64], warmup_s: float, window_s: float) -> Load:
    """Return the load of the window.

    Args:
        rows: int64 [requests, 3]: start in microseconds, HTTP status, microseconds until the end.
    """
    if not len(rows):
        return Load(0.0, np.zeros(0), 1)
    ends = (rows[:, 0] + rows[:, 2] - rows[:, 0].min()) / 1e6
    inside = (ends >= warmup_s) & (ends < warmup_s + window_s)
    good = rows[:, 1] == 200
    latencies = rows[inside & good, 2] / 1e6
    return Load(len(latencies) / window_s, latencies, int((~good).sum()))


def _start(
    address: str, message: Message, callers: int, seconds: float, stem: Path
) -> "subprocess.Popen[bytes]":
    body = stem.with_suffix(".body")
    body.write_bytes(message.body)
    headers = [f"--header={name}: {value}" for name, value in message.headers.items()]
    command = [
        PROGRAM,
        *([] if message.grpc else ["--h1"]),
        f"--clients={callers}",
        "--threads=1",
        "--max-concurrent-streams=1",
        f"--duration={round(seconds * 1e3)}ms",
        f"--data={body}",
        f"--log-file={stem.with_suffix('.log')}",
        *headers,
        address + message.path,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _finish(process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise GeneratorError(f"{PROGRAM} hangs: the server stopped answering") from error
    if process.returncode != 0:
        raise GeneratorError(f"{PROGRAM} failed: {said.decode(errors='replace').strip()}")


def _rows(log: Path) -> npt.NDArray[np.int64]:
    text = log.read_text() if log.exists() else ""
    return np.array([line.split()[:3] for line in text.splitlines()], np.int64).reshape(-1, 3)


def _processor_s() -> float:
    """Return what ended children of this process have spent."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

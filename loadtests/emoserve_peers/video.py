"""How many times faster than real time the embedded server analyses clips; peers cannot."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TypeAlias

from emoserve_client import EmotionClient
from emoserve_server import EmbeddedTriton

CLIPS = ("retalk_face1.mp4", "retalk_face2.mp4", "grid_bbaf2n.mpg", "hamilton_short.mp4")
GIVEN = "They told me about it yesterday and I could not believe a word of it."
CALLERS = (1, 2, 4)
FILE = "video.json"
Factors: TypeAlias = dict[str, dict[int, float]]


def measure(
    repository: Path, data: Path, rounds: int, out: Path, done: Callable[[], None]
) -> Factors:
    """Return seconds of media per second, by where words come from and number of callers.

    Medians over the rounds; also written to `out`. `done` is called `steps(rounds)` times.
    """
    clips = [(data / "clips" / name).read_bytes() for name in CLIPS]
    kinds = {"recognised by PocketSphinx": None, "given by the caller": GIVEN}
    factors: dict[str, dict[int, list[float]]] = {
        kind: {callers: [] for callers in CALLERS} for kind in kinds
    }
    with _served(repository, out / "logs" / "video.log") as url:
        _analyse(url, clips, GIVEN)  # warms up
        for _ in range(rounds):
            for kind, words in kinds.items():
                for callers in CALLERS:
                    factors[kind][callers].append(_round(url, clips, words, callers))
                    done()
    medians = {
        kind: {callers: median(values) for callers, values in one.items()}
        for kind, one in factors.items()
    }
    (out / FILE).write_text(json.dumps(medians, indent=1) + "\n")
    return medians


def read(out: Path) -> Factors:
    """Return what was measured last; nothing where it never was."""
    path = out / FILE
    content = json.loads(path.read_text()) if path.exists() else {}
    return {
        kind: {int(callers): factor for callers, factor in one.items()}
        for kind, one in content.items()
    }


def steps(rounds: int) -> int:
    """Return how often `done` is called."""
    return 2 * len(CALLERS) * rounds


@contextmanager
def _served(repository: Path, log: Path) -> Iterator[str]:
    with EmbeddedTriton(
        repository, http_port=0, grpc_port=0, metrics_port=0, models=["video"], log_file=log
    ) as triton:
        yield triton.grpc_url


def _round(url: str, clips: Sequence[bytes], words: str | None, callers: int) -> float:
    """Return the seconds of media that all callers got analysed, per second."""
    media_s: list[float] = []

    def one(first: int) -> None:
        media_s.append(_analyse(url, [*clips[first:], *clips[:first]], words))

    begin = time.monotonic()
    running = [threading.Thread(target=one, args=(index % len(clips),)) for index in range(callers)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(media_s) / (time.monotonic() - begin)


def _analyse(url: str, clips: Sequence[bytes], words: str | None) -> float:
    """Return the duration of clips after all were analysed."""
    with EmotionClient(url) as client:
        return sum(client.video(clip, transcript=words).summary.duration for clip in clips)

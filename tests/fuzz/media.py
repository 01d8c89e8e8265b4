"""Mutated real files against a real Triton: each is answered, the server lives, memory is flat.

    python tests/fuzz/media.py --cases 2000 --seed 1

A case is a real file of the shared data with a few bytes flipped, a part cut out, repeated, moved
or zeroed, or its head swapped for another format's. It goes to `video` (sound and video) or `face`
(pictures). An answer and an error of the kind «your input is wrong» both count as answered; all
else is kept under `out/fuzz/` and fails the run.
"""

import argparse
import collections
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

from emoserve_client import EmotionClient, InputError
from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "out" / "fuzz"
OPTIONS = {"transcribe": False, "frame_rate_hz": 1.0, "max_side_px": 320}
MAX_BYTES = 1_500_000  # of a seed file: larger ones say nothing more

Mutation = Callable[[random.Random, bytearray], bytearray]


def flip(draw: random.Random, data: bytearray) -> bytearray:
    for _ in range(draw.choice((1, 4, 32, 256))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return data


def flip_head(draw: random.Random, data: bytearray) -> bytearray:
    for _ in range(draw.choice((1, 2, 8))):
        data[draw.randrange(min(len(data), 512))] = draw.choice((0, 1, 127, 128, 255))
    return data


def cut(draw: random.Random, data: bytearray) -> bytearray:
    return data[: draw.randrange(1, len(data))]


def drop(draw: random.Random, data: bytearray) -> bytearray:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randrange(1, 5000) :] or bytearray(b"\0")


def repeat(draw: random.Random, data: bytearray) -> bytearray:
    start = draw.randrange(len(data))
    piece = data[start : start + draw.randrange(1, 5000)]
    return data[:start] + piece * draw.randrange(2, 6) + data[start:]


def zero(draw: random.Random, data: bytearray) -> bytearray:
    start = draw.randrange(len(data))
    stop = min(len(data), start + draw.randrange(1, 20_000))
    data[start:stop] = bytes(stop - start)
    return data


def big_numbers(draw: random.Random, data: bytearray) -> bytearray:
    """Sizes and counts are 32-bit fields: make some of them huge."""
    for _ in range(draw.choice((1, 3))):
        start = draw.randrange(max(1, min(len(data), 4096) - 4))
        data[start : start + 4] = draw.choice(
            (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0")
        )
    return data


MUTATIONS: tuple[Mutation, ...] = (flip, flip_head, cut, drop, repeat, zero, big_numbers)


def seeds() -> list[tuple[str, str, bytes]]:
    """Return model, name and bytes of every real file that is small enough."""
    media = [*(DATA / "clips").glob("*.m[op]*"), *(DATA / "clips" / "audio").iterdir()]
    pictures = [*(DATA / "photos").glob("*.jpg")]
    found = [("video", path) for path in media] + [("face", path) for path in pictures]
    return [
        (model, path.name, path.read_bytes())
        for model, path in sorted(found, key=lambda pair: pair[1].name)
        if path.stat().st_size <= MAX_BYTES
    ]


def mutated(seed: int, data: bytes) -> bytes:
    """Return the bytes of one case; the same for the same seed."""
    draw = random.Random(seed)
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        changed = draw.choice(MUTATIONS)(draw, changed)
    return bytes(changed)


def ask(client: EmotionClient, model: str, data: bytes) -> str:
    """Return what came of one case: «answered», or the reason it was refused."""
    try:
        if model == "video":
            client.video(data, options=OPTIONS, timeout_s=60)
        else:
            client.face(data, timeout_s=60)
    except InputError as error:
        return error.reason
    return "answered"


def memory_mb(parent: int) -> float:
    """Return the resident memory of the server's steps and decoders."""
    listing = subprocess.run(
        ["ps", "-eo", "pid,ppid,rss"], capture_output=True, text=True, check=True
    ).stdout
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()[1:]]
    family = {parent}
    for _ in range(4):
        family |= {pid for pid, above, _ in rows if above in family}
    return sum(rss for pid, _, rss in rows if pid in family) / 1024


class Run:
    """The cases of one run and what came of them."""

    def __init__(self, client: EmotionClient, first_seed: int) -> None:
        self._client = client
        self._first = first_seed
        self._seeds = seeds()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []

    def case(self, index: int) -> None:
        model, name, original = self._seeds[index % len(self._seeds)]
        data = mutated(self._first + index, original)
        try:
            self.outcomes[ask(self._client, model, data)] += 1
        except Exception as error:  # noqa: BLE001  whatever it is, it is what we look for
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"{self._first + index}-{re.sub(r'[^A-Za-z0-9.]', '_', name)}"
            kept.write_bytes(data)
            self.faults.append(f"{kept}: {type(error).__name__}: {error}")


def fuzz(cases: int, seed: int, callers: int) -> int:
    """Run the cases; return the exit code."""
    with (
        EmbeddedTriton(
            ROOT / "model_repository", http_port=0, grpc_port=0, metrics_port=0
        ) as triton,
        EmotionClient(triton.grpc_url) as client,
    ):
        run = Run(client, seed)
        memory = []
        started = time.monotonic()
        step = max(callers, cases // 10)
        with ThreadPoolExecutor(callers) as pool:
            for start in track(range(0, cases, step), description="fuzzing"):
                list(pool.map(run.case, range(start, min(start + step, cases))))
                memory.append(memory_mb(triton.pid))
        alive = ask(client, "face", next(d for m, _, d in seeds() if m == "face")) == "answered"
    seconds = time.monotonic() - started
    print(f"{cases} cases in {seconds:.0f} s: {dict(run.outcomes.most_common())}")
    print("resident memory of the server, MB, per tenth:", [round(value) for value in memory])
    print(f"server answers afterwards: {alive}; not answered: {len(run.faults)}")
    for fault in run.faults[:20]:
        print(" ", fault)
    return 0 if alive and not run.faults else 1


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", type=int, default=2)
    given = parser.parse_args(argv)
    if not DATA.is_dir():
        print(f"real data absent: {DATA}", file=sys.stderr)
        return 2
    return fuzz(given.cases, given.seed, given.callers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
